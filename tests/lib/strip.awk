# strip.awk - C source without its comments, line for line; with -v strings=0 also without the text inside literals
#
# The lint scripts look for calls and for SQL: a word in a comment is not a call, and a word in a string is not one either.
BEGIN { inside = 0 }
{
    line = $0
    out = ""
    n = length(line)
    for (i = 1; i <= n; i++) {
        c = substr(line, i, 1)
        two = substr(line, i, 2)
        if (inside) {
            if (two == "*/") {
                inside = 0
                i++
            }
        } else if (two == "/*") {
            inside = 1
            out = out " "
            i++
        } else if (two == "//") {
            break
        } else if (c == "\"" || c == "'") {
            quote = c
            text = ""
            for (i++; i <= n && (c = substr(line, i, 1)) != quote; i++) {
                text = text c
                if (c == "\\") {
                    i++
                    text = text substr(line, i, 1)
                }
            }
            out = out quote (strings ? text : "") quote
        } else {
            out = out c
        }
    }
    print out
}

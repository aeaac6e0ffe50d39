# agent.pl MODEL - a coding agent in sixty lines: the prompt comes on stdin, the model asks for commands, we run them and tell.
#
# It knows what every client of this API knows: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY. That both are mayfly's, it cannot tell.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;

my $model = shift or die "usage: agent.pl MODEL\n";
my $prompt = do { local $/; <STDIN> };
my $http = HTTP::Tiny->new(timeout => 60, default_headers => {
    'x-api-key' => $ENV{ANTHROPIC_API_KEY}, 'anthropic-version' => '2023-06-01', 'content-type' => 'application/json' });
my $tools = [{
    name => 'run', description => 'Runs a shell command in the working directory and returns its output.',
    input_schema => { type => 'object', properties => { command => { type => 'string' } }, required => ['command'] } }];
my @messages = ({ role => 'user', content => $prompt });

for my $turn (1 .. 10) {
    my $answer = $http->post("$ENV{ANTHROPIC_BASE_URL}/v1/messages", { content => encode_json({
        model => $model, max_tokens => 1000, tools => $tools, messages => \@messages }) });
    die "turn $turn: HTTP $answer->{status}: $answer->{content}\n" unless $answer->{success};
    my $message = decode_json($answer->{content});
    push @messages, { role => 'assistant', content => $message->{content} };
    my @results;
    for my $block (@{ $message->{content} }) {
        print "$block->{text}\n" if $block->{type} eq 'text';
        next unless $block->{type} eq 'tool_use';
        print "\$ $block->{input}{command}\n";
        my $output = qx{( $block->{input}{command} ) 2>&1};
        print $output;
        push @results, { type => 'tool_result', tool_use_id => $block->{id}, content => $output eq '' ? '(no output)' : $output,
                         is_error => $? == 0 ? JSON::PP::false : JSON::PP::true };
    }
    exit 0 unless @results;
    push @messages, { role => 'user', content => \@results };
}
die "ten turns, and no end\n";

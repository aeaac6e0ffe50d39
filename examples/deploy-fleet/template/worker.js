export default {
    async fetch() {
        return new Response("@TITLE@\n", { headers: { "content-type": "text/plain" } });
    },
};

export default {
    async fetch() {
        return Response.json({ service: "@SERVICE@", version: "@VERSION@" });
    },
};

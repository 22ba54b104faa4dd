// Starts Swagger UI on the document that the page names, both by relative URLs.

const viewer = document.getElementById("viewer");
const absolute = (url) => new URL(url, document.baseURI);

// Below a prefix that a reverse proxy adds, requests have to go below it too. The edge does not know of the
// prefix, so the document does not name it; the page's own URL does.
const prefix = absolute(viewer.dataset.root).pathname.replace(/\/+$/, "");
const withServers = (spec) => (prefix ? { servers: [{ url: prefix }], ...spec } : spec);

SwaggerUIBundle({
  domNode: viewer,
  url: absolute(viewer.dataset.document).href,
  deepLinking: true,
  validatorUrl: null, // the badge of a public validator
  plugins: [
    () => ({
      statePlugins: {
        spec: {
          wrapActions: { updateJsonSpec: (original) => (spec) => original(withServers(spec)) },
        },
      },
    }),
  ],
});

// Shows the description; a token that a call answers is used for the calls after it.
const page = SwaggerUIBundle({
  url: "/docs/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  validatorUrl: null, // the default would ask a host that is not ours
  responseInterceptor: (response) => {
    const token = response.body?.token;
    if (token) page.preauthorizeApiKey("QLiveToken", `QLiveToken ${token}`);
    return response;
  },
});

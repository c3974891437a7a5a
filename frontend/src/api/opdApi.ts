/** The door to the server: one origin, a session cookie, `X-OPD: 1` on changes. Endpoints are generated. */
import { createApi, fetchBaseQuery, type FetchBaseQueryError, retry } from "@reduxjs/toolkit/query/react";

/** jsdom has no address to take a relative path from. */
const baseUrl = typeof window === "undefined" ? "http://127.0.0.1" : window.location.origin;

const base = fetchBaseQuery({
  baseUrl,
  credentials: "same-origin",
  prepareHeaders(headers, { endpoint }) {
    headers.set("X-OPD", "1");
    // The guard wants a type on every change, the empty ones (delete) too; an upload is the file itself.
    headers.set("content-type", endpoint === "uploadDataset" ? "application/octet-stream" : "application/json");
    return headers;
  },
});

/** Questions are asked again when the server is away for a moment; changes never are, and refusals are final. */
const patient = retry(base, {
  retryCondition: (error, _, { attempt, baseQueryApi }) =>
    baseQueryApi.type === "query" && (error as FetchBaseQueryError).status === "FETCH_ERROR" && attempt <= 2,
});

export const opdApi = createApi({
  reducerPath: "api",
  baseQuery: patient,
  tagTypes: ["runs", "datasets", "teachers", "keys", "system"],
  refetchOnReconnect: true,
  endpoints: () => ({}),
});

import { defineConfig, type Plugin } from "vite";

// The browser itself refuses what this page must never do: load from, or speak HTTP to, another host.
// Only in the build, because Vite's development server injects inline styles and a WebSocket.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "media-src 'self' blob: mediastream:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
].join("; ");

const contentSecurityPolicy = (): Plugin => ({
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: POLICY }, injectTo: "head-prepend" },
  ],
});

export default defineConfig({
  base: "./",
  plugins: [contentSecurityPolicy()],
  build: { target: "es2022", modulePreload: { polyfill: false }, license: { fileName: "licenses.md" } },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/start", "/sessions", "/client"].map((path) => [path, "http://127.0.0.1:7860"]),
    ),
  },
});

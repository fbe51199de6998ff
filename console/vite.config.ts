import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The page is served under a policy without inline scripts and without data:
// URLs, so nothing may be inlined. `npx vite` for work on the page itself passes
// the API on to the one that MERIDIAN_API names.
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: 'dist/app',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2023',
    reportCompressedSize: false,
  },
  server: {
    proxy: process.env.MERIDIAN_API ? { '/v1': { target: process.env.MERIDIAN_API, changeOrigin: true } } : undefined,
  },
});

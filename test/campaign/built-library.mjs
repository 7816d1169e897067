import { join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const source = join(root, "src/");

/** For esbuild: what a campaign imports of src/ is not bundled but taken from dist/lib, as built. */
export const builtLibrary = {
  name: "built-library",
  setup({ onResolve }) {
    onResolve({ filter: /^\..*\.ts$/ }, ({ resolveDir, path }) => {
      const file = resolve(resolveDir, path);
      if (!file.startsWith(source)) return null;
      const built = join(root, "dist/lib", relative(source, file).replace(/\.ts$/, ".js"));
      return { path: pathToFileURL(built).href, external: true };
    });
  },
};

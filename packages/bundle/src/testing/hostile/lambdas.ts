import { bundle, END, F, gz } from "../tar-builder.ts";
import { type HostileBundle, useless } from "./hostile-bundle.ts";
import { directory, file } from "./parts.ts";

/** Archives that are sound, and of which no lambda comes out. */
export const LAMBDAS: readonly HostileBundle[] = [
  useless("no files", "OL_BUNDLE_NO_HANDLER", gz(END), bundle(F)),
  useless("no handler", "OL_BUNDLE_NO_HANDLER", bundle(file("g.py")), bundle(F)),
  useless(
    "its handler in a directory",
    "OL_BUNDLE_NO_HANDLER",
    bundle(file("hello/f.py")),
    bundle(file("./f.py")),
  ),
  useless("a directory as its handler", "OL_BUNDLE_NO_HANDLER", bundle(directory("f.py")), bundle(F)),
  useless(
    "a handler that ol.yaml finds elsewhere",
    "OL_BUNDLE_NO_HANDLER",
    bundle(F, file("ol.yaml", "environment: {OL_ENTRY_FILE: /etc/passwd}\n")),
    bundle(F, file("ol.yaml", "environment: {OL_ENTRY_FILE: f.py}\n")),
  ),
  useless(
    "a mistake in ol.yaml",
    "OL_BUNDLE_BAD_CONFIG",
    bundle(F, file("ol.yaml", "limits: {mem: 3}\n")),
    bundle(F, file("ol.yaml", "limits: {mem_mb: 64}\n")),
  ),
  useless(
    "another index in requirements.txt",
    "OL_BUNDLE_BAD_REQUIREMENTS",
    bundle(F, file("requirements.txt", "requests\n--index-url https://evil.example\n")),
    bundle(F, file("requirements.txt", "requests\n")),
  ),
  useless(
    "a path in packages.txt",
    "OL_BUNDLE_BAD_REQUIREMENTS",
    bundle(F, file("packages.txt", "file:///etc/passwd\n")),
    bundle(F, file("packages.txt", "requests\n")),
  ),
];

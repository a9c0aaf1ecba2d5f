import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Distribution, sourceArchive } from "./wheel.ts";

/** Builds by itself, with nothing from any index. */
const PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n';

const backendOf = (name: string, version: string, code: string): string => `
import os, zipfile
${code}
INFO = "${name}-${version}.dist-info"
METADATA = "Metadata-Version: 2.1\\nName: ${name}\\nVersion: ${version}\\n"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    file = "${name}-${version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, file), "w") as wheel:
        wheel.writestr("${name}.py", "VERSION = '${version}'\\n")
        wheel.writestr(INFO + "/METADATA", METADATA)
        wheel.writestr(INFO + "/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(INFO + "/RECORD", "")
    return file
`;

/** A package that there is no wheel of; `code` is Python that is run when it is built. */
export const sourcePackage = (name: string, code = "", version = "1.0"): Distribution => {
  const directory = mkdtempSync(join(tmpdir(), "ol-source-"));
  try {
    const top = `${name}-${version}`;
    mkdirSync(join(directory, top));
    writeFileSync(join(directory, top, "pyproject.toml"), PYPROJECT);
    writeFileSync(join(directory, top, "backend.py"), backendOf(name, version, code));
    const info = `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`;
    writeFileSync(join(directory, top, "PKG-INFO"), info);
    execFileSync("tar", ["-czf", "archive.tar.gz", top], { cwd: directory });
    return sourceArchive(name, version, readFileSync(join(directory, "archive.tar.gz")));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

// Reads what TypeScript sources declare, and what their doc comments say, by the compiler's own parser. TypeScript 7 has it behind
// an interface that it calls unstable; the version is pinned, and everything of it that we use is in this file.
import { join } from "node:path";

import { API } from "typescript/unstable/sync";
import { SyntaxKind } from "typescript/unstable/ast";

const KINDS = {
  [SyntaxKind.ClassDeclaration]: "class",
  [SyntaxKind.InterfaceDeclaration]: "interface",
  [SyntaxKind.TypeAliasDeclaration]: "type",
};

/**
 * @typedef {{ name: string, signature: string, type: string, optional: boolean, doc: string, kind: "property" | "method",
 *   isStatic: boolean }} Member
 * @typedef {{ name: string, kind: "class" | "interface" | "type" | "function", doc: string, text: string, members: Member[],
 *   extends: string[], package: string }} Declaration
 */

/** What some packages declare, by name. */
export class Declarations {
  #api;
  #byName = new Map();
  #exported = new Map();

  static open(root, packages) {
    const declarations = new Declarations();
    declarations.#read(root, packages);
    return declarations;
  }

  close() {
    this.#api.close();
  }

  /** Fails if nothing of that name is declared. */
  get(name, wanted) {
    const found = (this.#byName.get(name) ?? []).find(
      (one) => wanted === undefined || one.package === wanted,
    );
    const any = found ?? this.#byName.get(name)?.[0];
    if (any === undefined)
      throw new Error(`nothing named ${name} is declared; see scripts/lib/library-pages.mjs`);
    return any;
  }

  has(name) {
    return this.#byName.has(name);
  }

  /** Names of the classes that the indexes of @ol/sandbox, its testing part, and @ol/lambda export. */
  exportedClasses() {
    return [...this.#exported.values()].flat();
  }

  #read(root, packages) {
    this.#api = new API({ cwd: root });
    for (const [name, directory] of Object.entries(packages)) {
      const config = join(root, "packages", directory, "tsconfig.json");
      const snapshot = this.#api.updateSnapshot({ openProjects: [config] });
      const project = snapshot.getProject(config);
      const source = join(root, "packages", directory, "src/");
      for (const file of project.rootFiles.filter((one) => one.startsWith(source)))
        this.#readFile(project.program.getSourceFile(file), name);
      if (name !== "@ol/common") this.#readExports(project, source, name);
    }
  }

  #readFile(file, packageName) {
    for (const statement of file.statements) {
      for (const declaration of declarationsOf(statement, file, packageName)) {
        const others = this.#byName.get(declaration.name) ?? [];
        this.#byName.set(declaration.name, [...others, declaration]);
      }
    }
  }

  #readExports(project, source, packageName) {
    for (const index of ["index.ts", "testing/index.ts", "fit.ts"]) {
      const file = project.program.getSourceFile(join(source, index));
      if (file === undefined) continue;
      const module = project.checker.getSymbolAtLocation(file);
      const names = project.checker.getExportsOfModule?.(module) ?? module.getExports();
      const classes = [...names]
        .map((symbol) => symbol.name)
        .filter((name) =>
          (this.#byName.get(name) ?? []).some((one) => one.kind === "class" && one.package === packageName),
        );
      this.#exported.set(`${packageName}/${index}`, classes);
    }
  }
}

const textOf = (node, file) => file.text.slice(node.pos, node.end).trim();

/** Without its doc comment, which belongs to it in the tree. */
const bareText = (node, file) => {
  const begin = (node.jsDoc ?? []).reduce((end, doc) => Math.max(end, doc.end), node.pos);
  return file.text.slice(begin, node.end).trim();
};

/** The text of a doc comment, without its stars. */
const docOf = (node, file) => {
  const doc = (node.jsDoc ?? []).at(-1);
  if (doc === undefined) return "";
  return textOf(doc, file)
    .replace(/^\/\*\*/u, "")
    .replace(/\*\/$/u, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/u, "").trimEnd())
    .join("\n")
    .trim();
};

const isPrivate = (member) =>
  member.name?.kind === SyntaxKind.PrivateIdentifier ||
  member.name?.kind === SyntaxKind.ComputedPropertyName ||
  (member.modifiers ?? []).some(({ kind }) => kind === SyntaxKind.PrivateKeyword);

const MEMBERS = {
  [SyntaxKind.PropertySignature]: "property",
  [SyntaxKind.PropertyDeclaration]: "property",
  [SyntaxKind.GetAccessor]: "property",
  [SyntaxKind.MethodSignature]: "method",
  [SyntaxKind.MethodDeclaration]: "method",
};

const memberOf = (member, file) => {
  const kind = MEMBERS[member.kind];
  if (kind === undefined || isPrivate(member)) return [];
  const name = member.name.text;
  const type = member.type === undefined ? "" : textOf(member.type, file).replaceAll(/\s+/gu, " ");
  const modifiers = (member.modifiers ?? []).map((one) => one.kind);
  return [
    {
      name,
      kind,
      type,
      optional: member.questionToken !== undefined || member.postfixToken?.kind === SyntaxKind.QuestionToken,
      signature: kind === "method" ? signatureOf(member, file) : `${name}: ${type}`,
      doc: docOf(member, file),
      isStatic: modifiers.includes(SyntaxKind.StaticKeyword),
    },
  ];
};

/** What stands before the body, on one line. */
const signatureOf = (node, file) => {
  const bare = bareText(node, file);
  const body = node.body === undefined ? bare : bare.slice(0, bare.length - textOf(node.body, file).length);
  return body
    .replaceAll(/\s+/gu, " ")
    .replace(/^(?:(?:export|const|async|static|override|readonly|get) )+/u, "")
    .replaceAll("( ", "(")
    .replaceAll(", )", ")")
    .replace(/;$/u, "")
    .trim();
};

const heritage = (statement, file) =>
  (statement.heritageClauses ?? []).flatMap((clause) => clause.types.map((type) => textOf(type, file)));

const declarationsOf = (statement, file, packageName) => {
  const kind = KINDS[statement.kind];
  if (kind !== undefined)
    return [
      {
        name: statement.name.text,
        kind,
        doc: docOf(statement, file),
        text: bareText(statement, file).replace(/^export /u, ""),
        members: (statement.members ?? []).flatMap((member) => memberOf(member, file)),
        extends: heritage(statement, file),
        package: packageName,
      },
    ];
  if (statement.kind !== SyntaxKind.VariableStatement) return [];
  return statement.declarationList.declarations.map((declaration) => ({
    name: declaration.name.text,
    kind: "function",
    doc: docOf(statement, file),
    text: functionText(declaration, file),
    members: [],
    extends: [],
    package: packageName,
  }));
};

/** `name(parameters): result` of an arrow function; `name: type` of another constant. */
const functionText = (declaration, file) => {
  const { initializer, name, type } = declaration;
  if (initializer?.kind !== SyntaxKind.ArrowFunction)
    return `${name.text}${type === undefined ? "" : `: ${textOf(type, file).replaceAll(/\s+/gu, " ")}`}`;
  const bare = textOf(initializer, file);
  const head = bare.slice(0, bare.length - textOf(initializer.body, file).length);
  return `${name.text}${head
    .replace(/=>\s*$/u, "")
    .replace(/^async /u, "")
    .replaceAll(/\s+/gu, " ")
    .replaceAll("( ", "(")
    .replaceAll(/,? \)/gu, ")")
    .trim()}`;
};

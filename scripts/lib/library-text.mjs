// A page of docs/library/ as text, from what is declared and what its doc comments say.

const UNITS = [
  [/Ms$/u, "ms"],
  [/Mb$/u, "MB"],
  [/Kb$/u, "KB"],
  [/Bytes$/u, "bytes"],
  [/Sec$/u, "s"],
  [/Percent$/u, "%"],
];

/** What a name says of its unit. */
export const unitOf = (name) => UNITS.find(([ending]) => ending.test(name))?.[1] ?? "";

// "default 10,000", "Default: `slots`, more would never be busy": up to the end of the sentence or to a semicolon.
const DEFAULT = /(?:;\s+default|(?<=^|[.)]\s)Default):?\s+((?:[^.;]|[.;](?!\s|$))+)[.;]?/u;
// The first word of a whole description.
const BARE_DEFAULT = /^default:?\s+((?:[^.;]|[.;](?!\s|$))+)[.;]?/iu;
const LIMIT = /At the limit: ((?:.|\n)+?)\.?$/u;

/** Splits a doc comment of an option: what it is, its default, and what happens at it. */
export const splitDoc = (doc) => {
  const line = doc.replaceAll(/\s*\n\s*/gu, " ");
  const limit = LIMIT.exec(line)?.[1];
  const rest = line.replace(LIMIT, "").trim();
  const found = BARE_DEFAULT.exec(rest) ?? DEFAULT.exec(rest);
  const about = found === null ? rest : rest.replace(found[0], found[0].startsWith(";") ? "." : "").trim();
  return { about: about.replace(/^[\s.]+/u, ""), default: found?.[1]?.trim(), limit: limit?.trim() };
};

const cell = (text) => text.replaceAll("|", "\\|").replaceAll(/\n+/gu, " ");
const code = (text) => (text === "" ? "" : `\`${cell(text)}\``);
/** Its paragraphs, each on one line. */
const paragraphs = (doc) => doc.split(/\n{2,}/u).map((text) => text.replaceAll("\n", " "));
const paragraph = (doc) => paragraphs(doc).join("\n\n");
/** As what follows in an item of a list. */
const item = (doc) => paragraphs(doc).join("\n\n  ");

/** Every way in which a page's sources say too little. */
export const problemsOf = (page, declarations) => {
  const problems = [];
  for (const name of page.options ?? []) {
    const { members, doc } = declarations.get(name, page.package);
    if (doc === "") problems.push(`${name} has no doc comment`);
    for (const member of members) {
      const split = splitDoc(member.doc);
      const what = `${name}.${member.name}`;
      if (member.doc === "") problems.push(`${what} has no doc comment`);
      else if (member.optional && split.default === undefined)
        problems.push(`${what} does not say its default`);
      if (member.type === "number" && member.doc !== "" && split.limit === undefined)
        problems.push(`${what} does not say what happens at it`);
    }
  }
  // Who writes one has to know each of its members.
  for (const name of page.implement ?? [])
    for (const member of declarations.get(name, page.package).members)
      if (member.doc === "") problems.push(`${name}.${member.name} has no doc comment`);
  for (const name of [
    page.class,
    page.events,
    ...(page.implement ?? []),
    ...(page.types ?? []),
    ...(page.functions ?? []),
  ])
    if (name !== undefined && declarations.get(name, page.package).doc === "")
      problems.push(`${name} has no doc comment`);
  return problems;
};

const table = (heads, rows) =>
  [
    `| ${heads.join(" | ")} |`,
    `|${heads.map(() => "---").join("|")}|`,
    ...rows.map((row) => `| ${row.join(" | ")} |`),
  ].join("\n");

const optionsTable = ({ members }) => {
  const split = members.map((member) => ({ member, ...splitDoc(member.doc) }));
  const rows = split.map(({ member, about, default: fallback, limit }) => [
    code(member.name),
    code(member.type),
    unitOf(member.name),
    cell(member.optional ? (fallback ?? "") : (fallback ?? "needed")),
    cell(about),
    cell(limit ?? ""),
  ]);
  return table(["option", "type", "unit", "default", "is", "at the limit"], rows);
};

const typeText = (declaration) => {
  const { kind, members, text } = declaration;
  if (kind === "interface" && members.length > 0)
    return table(
      ["field", "type", "unit", "is"],
      members.map((member) => [
        code(`${member.name}${member.optional ? "?" : ""}`),
        code(member.kind === "method" ? member.signature : member.type),
        unitOf(member.name),
        cell(paragraph(member.doc)),
      ]),
    );
  return `\`\`\`ts\n${text}\n\`\`\``;
};

const inherited = (declaration) => {
  const from =
    declaration.kind === "interface" ? declaration.extends.filter((name) => name !== "AsyncDisposable") : [];
  return from.length === 0 ? "" : `\n\nIt has also what ${from.map((name) => `\`${name}\``).join(", ")} has.`;
};

/** A member without a doc comment serves other parts of the package, and is no part of the page. */
const membersText = ({ members }, hidden = []) =>
  members
    .filter(({ name, doc }) => doc !== "" && !hidden.includes(name))
    .map((member) => `- \`${member.isStatic ? "static " : ""}${member.signature}\`\\\n  ${item(member.doc)}`)
    .join("\n");

const classText = (declaration, hidden) => {
  const text = [declaration.doc];
  if (declaration.extends.includes("AsyncDisposable"))
    text.push("It can be declared with `await using`: at the end of the block it is closed, or destroyed.");
  const members = membersText(declaration, hidden);
  if (members !== "") text.push(`## Members\n\n${members}`);
  return text.join("\n\n");
};

const eventsText = ({ doc, members }) =>
  `## Events\n\n${doc}\n\n${table(
    ["event", "a listener gets", "when"],
    members.map((member) => [
      code(member.name),
      code(member.type.replace(/^\[|\]$/gu, "")),
      cell(paragraph(member.doc)),
    ]),
  )}`;

/** Of an interface of channels, all of them, those that it extends first. */
const channelsOf = (name, declarations) => {
  const declaration = declarations.get(name);
  const above = declaration.extends.flatMap((other) => channelsOf(other, declarations));
  return [...above, ...declaration.members];
};

/** Fields of a message, inherited ones first. */
const fieldsOf = (name, declarations) => {
  const declaration = declarations.get(name);
  const above = declaration.extends.flatMap((other) => fieldsOf(other, declarations));
  return [...above, ...declaration.members];
};

const channelsText = (name, declarations) =>
  channelsOf(name, declarations)
    .map((channel) => {
      const message = declarations.get(channel.type);
      const fields = fieldsOf(channel.type, declarations).map((field) => [
        code(field.name),
        code(field.type),
        unitOf(field.name),
        cell(paragraph(field.doc)),
      ]);
      const about = channel.doc === "" ? message.doc : channel.doc;
      return `### \`${channel.name}\`\n\n${paragraph(about)} Message: \`${channel.type}\`.\n\n${table(["field", "type", "unit", "is"], fields)}`;
    })
    .join("\n\n");

const section = (name, page, declarations, text) => {
  const declaration = declarations.get(name, page.package);
  return `## ${name}\n\n${paragraph(declaration.doc)}${inherited(declaration)}\n\n${text(declaration)}`;
};

/** The page's text. */
export const renderPage = (page, declarations) => {
  const parts = [
    `# ${page.title}`,
    "<!-- Made by scripts/gen-library.mjs from the doc comments. Do not edit: run `pnpm run docs`. -->",
    `Of \`${page.entry ?? page.package}\`. [All pages](README.md)`,
  ];
  if (page.about !== undefined) parts.push(page.about);
  if (page.class !== undefined)
    parts.push(classText(declarations.get(page.class, page.package), page.hidden));
  for (const name of page.options ?? []) parts.push(section(name, page, declarations, optionsTable));
  if (page.events !== undefined) parts.push(eventsText(declarations.get(page.events, page.package)));
  if (page.channels !== undefined) parts.push(channelsText(page.channels, declarations));
  for (const name of page.implement ?? [])
    parts.push(section(name, page, declarations, (one) => membersText(one)));
  for (const name of page.types ?? []) parts.push(section(name, page, declarations, typeText));
  const functions = page.functions ?? [];
  if (functions.length > 0)
    parts.push(
      `## Functions\n\n${functions
        .map((name) => declarations.get(name, page.package))
        .map(({ text, doc }) => `- \`${text}\`\\\n  ${item(doc)}`)
        .join("\n")}`,
    );
  for (const other of page.see ?? []) parts.push(`See also [${other}](${other}.md).`);
  return `${parts.join("\n\n")}\n`;
};

import { badRequirement } from "./bad-requirement.ts";
import { shown } from "./problems.ts";
import type { TextCursor } from "./text-cursor.ts";
import { parseVersion } from "./version.ts";

const OPERATOR = /~=|===|==|!=|<=|>=|<|>/uy;
const OPERAND = /[^\s,;()<>=~]+/uy;
/** What `===` compares with need not be a version, but has to get through a requirements file. */
const ARBITRARY = /^[A-Za-z0-9._+!*-]{1,100}$/u;

/** Takes versions such as `>= 1.0, < 2` and spells them as `<2,>=1.0`; "" if there are none. */
export const takeSpecifier = (cursor: TextCursor): string => {
  const clauses = new Set<string>();
  for (;;) {
    const operator = cursor.take(OPERATOR);
    if (operator === undefined) break;
    cursor.skipSpace();
    clauses.add(clause(operator, cursor.take(OPERAND) ?? ""));
    cursor.skipSpace();
    if (cursor.take(/,/uy) === undefined) break;
    cursor.skipSpace();
  }
  return [...clauses].sort().join(",");
};

/** The one version that a specifier allows; undefined if it allows several. */
export const pinOf = (specifier: string): string | undefined =>
  /^===?(?<version>[^,*]+)$/u.exec(specifier)?.groups?.["version"];

const clause = (operator: string, operand: string): string => {
  if (operand === "") throw badRequirement(`has no version behind ${shown(operator)}; write one`);
  if (operator !== "===") return operator + versionFor(operator, operand);
  if (!ARBITRARY.test(operand)) throw badRequirement(`has ${shown(operand)}, which cannot be a version`);
  return operator + operand;
};

const versionFor = (operator: string, operand: string): string => {
  const here = shown(operator + operand);
  const prefix = operand.endsWith(".*") ? ".*" : "";
  const version = parseVersion(operand.slice(0, operand.length - prefix.length));
  if (version === undefined)
    throw badRequirement(`has ${here}, which names no version; write one such as 1.2.3`);
  const exact = operator === "==" || operator === "!=";
  if (prefix !== "" && !exact)
    throw badRequirement(`has ${here}, and ".*" is for == and != only; write ${operator}${version.text}`);
  if (prefix !== "" && !/^(?:[0-9]+!)?[0-9.]+$/u.test(version.text))
    throw badRequirement(`has ${here}, and ".*" belongs behind numbers only; write one such as ==1.2.*`);
  if (version.local && !exact)
    throw badRequirement(`has ${here}, and "+" is for == and != only; leave out what follows it`);
  if (operator === "~=" && version.releases < 2)
    throw badRequirement(`has ${here}, which needs two numbers at least; write ~=${version.text}.0`);
  return version.text + prefix;
};

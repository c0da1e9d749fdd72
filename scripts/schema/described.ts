// Puts what the documentation of an interface's members says into the schema of the same shape.
import { join } from 'node:path';
import ts from 'typescript';
import type { Schema } from '../../lib/api/validate';
import { root } from '../test/command';

type Mutable = { [keyword: string]: unknown };

/** The schema with a description at every member of the interface `name` in `file`, and of those inside. */
export function described(schema: Schema, file: string, name: string): Schema {
  const path = join(root, file);
  const program = ts.createProgram([path], {
    strict: true,
    target: ts.ScriptTarget.ESNext,
    noLib: false,
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(path);
  const declared = source?.statements.find((each) => ts.isInterfaceDeclaration(each) && each.name.text === name);
  if (declared === undefined) throw new Error(`${file} declares no interface ${name}`);
  const copy = JSON.parse(JSON.stringify(schema)) as Mutable; // A rule that is used twice is one object in the rules.
  describe(copy, checker.getTypeAtLocation(declared), checker, name);
  return copy;
}

function describe(schema: Mutable, type: ts.Type, checker: ts.TypeChecker, name: string): void {
  for (const [key, member] of Object.entries((schema.properties ?? {}) as Record<string, Mutable>)) {
    const symbol = type.getProperty(key);
    if (symbol === undefined) throw new Error(`${name} has no member ${key}, and the rules have`);
    const text = ts.displayPartsToString(symbol.getDocumentationComment(checker)).replace(/\s+/g, ' ').trim();
    if (text === '') throw new Error(`${name}.${key} is not documented`);
    member.description = text.replace(/\{@link ([^}\s|]+)[^}]*\}/g, '$1');
    inside(member, checker.getNonNullableType(checker.getTypeOfSymbol(symbol)), checker, `${name}.${key}`);
  }
}

/** Groups within this member: itself, the entries of a list, or one of several kinds. */
function inside(schema: Mutable, type: ts.Type, checker: ts.TypeChecker, name: string): void {
  const kinds = type.isUnion() ? type.types : [type];
  for (const one of [schema, ...((schema.anyOf ?? []) as Mutable[])]) {
    if (one.properties !== undefined) {
      const group = kinds.find((kind) => Object.keys(one.properties as object).some((key) => kind.getProperty(key)));
      if (group === undefined) throw new Error(`${name} has no type with the keys of its rule`);
      describe(one, group, checker, name);
    }
    const items = one.items as Mutable | undefined;
    if (items?.properties === undefined) continue;
    const entries = kinds.map((kind) => checker.getIndexTypeOfType(kind, ts.IndexKind.Number)).find(Boolean);
    if (entries === undefined) throw new Error(`${name} is no list, and its rule is`);
    describe(items, entries, checker, name);
  }
}

// Reads an AsyncAPI document from standard input; says what the AsyncAPI initiative's own parser finds wrong with it (errors
// and warnings), and exits with 1 when it is no valid document.
import { readFileSync } from "node:fs";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(0, "utf8"));
for (const found of diagnostics)
    if (found.severity <= 1)
        console.log(`${found.path.join(".")}: ${found.message} (${found.code})`);
process.exit(document && !diagnostics.some((found) => found.severity === 0) ? 0 : 1);

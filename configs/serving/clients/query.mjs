// Asks a server over gRPC from Node: node query.mjs localhost:8500 sentiment "A wonderful film." "Dull."
//
//   npm install @grpc/grpc-js @grpc/proto-loader
//
// Prints a line of JSON a text. PROTOS names the descriptor set of the published messages; by default it is the one
// that the Python package brings.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const PROTOS =
  process.env.PROTOS ?? new URL("../../../nlp_suite/serving/client/protos.binpb", import.meta.url);
const OPTIONS = { keepCase: true, longs: Number, enums: String, defaults: true, json: true };
const RETRY = {
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "3s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

const messages = protoLoader.loadFileDescriptorSetFromBuffer(readFileSync(PROTOS), OPTIONS);
const { serving } = grpc.loadPackageDefinition(messages).tensorflow;

function ask(client, method, request) {
  const deadline = Date.now() + 30_000;
  return new Promise((resolve, reject) => {
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** An object of a map: read from a descriptor set, maps are lists of entries. */
function byKey(entries) {
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

/** The values of a tensor, nested as its shape says; strings from UTF-8. */
function values(tensor) {
  const fields = ["string_val", "float_val", "int_val", "int64_val", "bool_val", "double_val"];
  const flat = fields.flatMap((field) => tensor[field]);
  const shape = tensor.tensor_shape.dim.map((dim) => dim.size);
  const items = tensor.string_val.length ? flat.map((item) => Buffer.from(item, "base64").toString("utf8")) : flat;
  return shape.slice(1).reduceRight((rows, size) => {
    const count = rows.length / size;
    return Array.from({ length: count }, (_, n) => rows.slice(n * size, (n + 1) * size));
  }, items);
}

const [host, model, ...texts] = process.argv.slice(2);
if (!texts.length) {
  console.error("usage: node query.mjs HOST:PORT MODEL TEXT...");
  process.exit(2);
}
const client = new serving.PredictionService(host, grpc.credentials.createInsecure(), {
  "grpc.service_config": JSON.stringify(RETRY),
  "grpc.max_receive_message_length": -1,
});
try {
  const model_spec = { name: model, signature_name: "serving_default" };
  const metadata = await ask(client, "GetModelMetadata", { model_spec, metadata_field: ["signature_def"] });
  const signatures = byKey(metadata.metadata).signature_def.signature_def;
  const [input] = Object.keys(byKey(byKey(signatures).serving_default.inputs)); // text, or prompt
  const tensor = {
    dtype: "DT_STRING",
    tensor_shape: { dim: [{ size: texts.length }] },
    string_val: texts.map((text) => Buffer.from(text, "utf8")),
  };
  const { outputs } = await ask(client, "Predict", { model_spec, inputs: [{ key: input, value: tensor }] });
  const columns = Object.entries(byKey(outputs)).map(([name, output]) => [name, values(output)]);
  texts.forEach((_, row) => {
    console.log(JSON.stringify(Object.fromEntries(columns.map(([name, column]) => [name, column[row]]))));
  });
} catch (error) {
  console.error(`${host}, model ${model}: ${grpc.status[error.code] ?? "error"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}

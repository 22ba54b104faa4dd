// The calls that every client makes of the tests' own contract through an edge; of each it prints a line of JSON: its
// name, and what came. The test has what must come. A client gives unary(message, headers), serverStream(message),
// clientStream(messages), bidi(messages), fail(request), hang(milliseconds), and status(error); those that it lacks
// are left out.

/** Makes the calls that a client can make, and tells the name of each and what came. */
export async function all(client, print = (name, value) => console.log(JSON.stringify([name, value]))) {
  const { message, header, trailer } = await client.unary({ stringField: "a" }, { "x-given": "one" });
  print("unary", message.stringField);
  print("metadata", [header("x-given"), trailer("cost")]);
  print("server stream", await strings(client.serverStream({ stringField: "b", int32Field: 3 })));
  if (client.clientStream) {
    const { count, strings } = await client.clientStream(each("x", "y", "z"));
    print("client stream", [count, strings]);
  }
  if (client.bidi) print("bidi", await strings(client.bidi(each("x", "y", "z"))));
  const wanted = { code: 9, message: "schlecht: 100 % 🙈", details: true };
  print("error", client.status(await failure(client.fail(wanted))));
  print("deadline", client.status(await failure(client.hang(300)))[0]);
}

const each = (...texts) => texts.map((stringField) => ({ stringField }));

async function strings(messages) {
  const found = [];
  for await (const { stringField } of messages) found.push(stringField);
  return found;
}

async function failure(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("no failure");
}

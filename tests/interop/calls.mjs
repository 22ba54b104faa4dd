// The calls that every client makes, and what each must come to. A client gives convert(request), watch(request),
// batch(requests), live(requests), the number of the gRPC status of an error, and the types of its details.

import assert from "node:assert/strict";

const dollars = (amount) => ({ fromCurrency: "USD", toCurrency: "EUR", amount });

/** Makes the calls that a client can make, and prints one line for each kind. */
export async function all(client) {
  const converted = await client.convert(dollars(100));
  assert.ok(converted.convertedAmount > 0 && converted.rate > 0, "a conversion");
  console.log("unary");

  await assert.rejects(client.convert(dollars(0)), (error) => {
    assert.equal(client.code(error), 11);
    assert.deepEqual(client.details(error), ["google.rpc.BadRequest"]);
    return true;
  });
  console.log("status with details");

  const seen = [];
  for await (const update of client.watch({ baseCurrency: "USD", targetCurrencies: ["EUR", "GBP"] })) {
    seen.push(update.currency);
    if (seen.length === 4) break;
  }
  assert.deepEqual(seen.slice(0, 2), ["EUR", "GBP"]);
  console.log("server stream");

  if (client.batch) {
    const sum = await client.batch([dollars(1), dollars(2)]);
    assert.equal(sum.count, 2);
    console.log("client stream");
  }
  if (client.live) {
    const answers = [];
    for await (const answer of client.live([dollars(1), dollars(2)])) answers.push(answer.convertedAmount);
    assert.ok(answers.length === 2 && answers[0] < answers[1], "two answers in order");
    console.log("bidi");
  }
}

// @ts-check
/** The page: each of its three parts is one call of the contract, on a wire of its own. */

import { CODES, StatusError, openEvents, openSocket, statusOf } from "./protoway.js";
import { drawChart } from "./chart.js";

const CURRENCIES = (
  "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR ILS INR ISK JPY KRW MXN MYR NOK NZD PHP PLN RON SEK SGD"
  + " THB TRY USD ZAR"
).split(" ");
const WATCHED = ["EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "USD"];
const CHOSEN = ["EUR", "GBP", "CHF", "JPY", "USD"];
const QUIET_MS = 5_000;

/** @param {string} selector @param {ParentNode} [within] @returns {any} */
const $ = (selector, within = document) => within.querySelector(selector);

const nameOf = new Intl.DisplayNames(undefined, { type: "currency" });
const rates = new Intl.NumberFormat(undefined, { minimumSignificantDigits: 6, maximumSignificantDigits: 6 });
const changes = new Intl.NumberFormat(undefined, {
  style: "percent", minimumFractionDigits: 3, maximumFractionDigits: 3, signDisplay: "exceptZero",
});
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** @param {number} amount @param {string} currency */
const money = (amount, currency) => new Intl.NumberFormat(undefined, { style: "currency", currency }).format(amount);

/** @param {string} tag @param {Record<string, unknown>} properties @param {...(Node | string)} children */
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** Says how a stream is; what counts seconds stands apart, so that a screen reader is not told each one. */
function showState(/** @type {Element} */ section, /** @type {string} */ state, more = "") {
  const shown = $(".state", section);
  shown.dataset.state = state;
  const [told, counted] = shown.children;
  if (told.textContent !== state) told.textContent = state;
  counted.textContent = more;
}

/** @param {StatusError} error */
const inWords = (error) => `${CODES[error.code] ?? error.code}${error.message && `: ${error.message}`}`;

for (const [select, chosen] of [["#base", "USD"], ["[name=fromCurrency]", "USD"], ["[name=toCurrency]", "EUR"]]) {
  $(select).append(...CURRENCIES.map((code) => new Option(`${code} · ${nameOf.of(code)}`, code)));
  $(select).value = chosen;
}

// Convert: one request, one answer.

const form = $("#convert form");
const output = $("#convert output");
const pair = () => ({ fromCurrency: form.fromCurrency.value, toCurrency: form.toCurrency.value });

async function convert() {
  const asked = { ...pair(), amount: form.amount.value.trim() };
  try {
    const response = await fetch("convert", { method: "POST", body: JSON.stringify(asked) });
    if (!response.ok) throw await statusOf(response);
    const { convertedAmount, rate, timestamp } = await response.json();
    showAnswer(
      money(convertedAmount, asked.toCurrency),
      `1 ${asked.fromCurrency} = ${rates.format(rate)} ${asked.toCurrency}, as of ${day.format(new Date(timestamp))}`,
    );
  } catch (error) {
    const wrong = error instanceof StatusError ? error : new StatusError(14, "the edge cannot be reached");
    showAnswer(wrong.message, CODES[wrong.code], wrong);
  }
}

/** @param {string} first @param {string} second @param {StatusError} [wrong] */
function showAnswer(first, second, wrong) {
  const fields = wrong?.details.flatMap((/** @type {any} */ detail) => detail.fieldViolations ?? []) ?? [];
  for (const input of form.elements) {
    input.setAttribute("aria-invalid", String(fields.some(({ field }) => field === input.name)));
  }
  output.toggleAttribute("data-wrong", Boolean(wrong));
  $("strong", output).textContent = first;
  $("span", output).textContent = second;
}

form.addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  convert();
});
form.addEventListener("change", () => {
  convert();
  ask();
});
$(".swap").addEventListener("click", () => {
  const { fromCurrency, toCurrency } = pair();
  [form.fromCurrency.value, form.toCurrency.value] = [toCurrency, fromCurrency];
  form.dispatchEvent(new Event("change"));
});

// Live rates: a stream of Server-Sent Events, which goes on after a cut.

const section = $("#rates");
/** @type {{series: Map<string, {at: number, rate: number}[]>, holes: {from: number, to?: number}[], began: number}} */
let seen = { series: new Map(), holes: [], began: Date.now() };
let state = "connecting", newest = Date.now(), back = 0;
let watching = new AbortController();

$("#targets").append(...WATCHED.map((code, number) => make("label", { className: "chip" },
  make("input", { type: "checkbox", value: code, checked: CHOSEN.includes(code) }),
  make("span", { className: `dot c${number}` }), code)));

function watchAnew() {
  watching.abort();
  watching = new AbortController();
  seen = { series: new Map(), holes: [], began: Date.now() };
  const base = $("#base").value;
  for (const input of document.querySelectorAll("#targets input")) {
    /** @type {HTMLInputElement} */ (input).disabled = /** @type {HTMLInputElement} */ (input).value === base;
  }
  const targets = Array.from(document.querySelectorAll("#targets :checked:enabled"), (/** @type {any} */ box) => box.value);
  showRows(targets);
  if (targets.length > 0) watch(base, targets, watching.signal);
  else showState(section, (state = "ended"), "nothing is chosen");
}

async function watch(/** @type {string} */ base, /** @type {string[]} */ targets, /** @type {AbortSignal} */ signal) {
  const query = new URLSearchParams(targets.map((code) => ["target_currencies", code]));
  for await (const event of openEvents(`rates/${base}?${query}`, { signal, retry: 1_000, maxRetry: 5_000 })) {
    if (signal.aborted) return;
    if (event.type === "message") {
      newest = Date.now();
      take(event.data);
    } else if (event.type === "gap") {
      const missed = event.missed === undefined ? "some messages" : `${event.missed} messages`;
      seen.holes.push({ from: newest, to: Date.now() });
      notice(event.restarted ? "the stream has begun anew" : `${missed} did not reach this page`);
    } else if (event.type !== "connecting" || state !== "cut") {
      state = event.type === "open" ? "connecting" : event.type; // it is live with its first message
      if (event.type === "cut") {
        back = event.retryAt.getTime();
        if (seen.holes.every(({ to }) => to)) {
          seen.holes.push({ from: newest });
          notice(`the stream was cut (${inWords(event.error)})`);
        }
      }
      if (event.type === "failed") notice(inWords(event.error));
    }
    refresh();
  }
}

function take(/** @type {{currency: string, rate: number}} */ { currency, rate }) {
  const hole = seen.holes.at(-1);
  if (hole && hole.to === undefined) {
    hole.to = Date.now();
    notice("the stream is back");
  }
  state = "live";
  const points = seen.series.get(currency) ?? [];
  seen.series.set(currency, points);
  points.push({ at: Date.now(), rate });
  if (points.length > 600) points.splice(1, 100); // the first is what the others are compared with
  const [shownRate, shownChange] = $(`#rate-${currency}`).querySelectorAll("td");
  const change = rate / points[0].rate - 1;
  shownRate.textContent = rates.format(rate);
  shownChange.textContent = changes.format(change);
  shownChange.className = Math.abs(change) < 5e-6 ? "" : change > 0 ? "up" : "down";
}

function showRows(/** @type {string[]} */ targets) {
  $("tbody").replaceChildren(...targets.map((code) => make("tr", { id: `rate-${code}` },
    make("th", { scope: "row" }, make("span", { className: `dot c${WATCHED.indexOf(code)}` }), `${code} `,
      make("small", {}, nameOf.of(code) ?? "")),
    make("td", {}, "–"), make("td", {}, ""))));
}

function notice(/** @type {string} */ words) {
  const list = $(".notices");
  list.append(make("li", {}, `${clock.format(new Date())} ${words}`));
  while (list.children.length > 3) list.firstChild.remove();
}

let drawing = 0;
function refresh() {
  const silent = Date.now() - newest;
  if (state === "live" && silent > QUIET_MS) {
    showState(section, "quiet", `for ${Math.round(silent / 1000)} s`);
  } else if (state === "cut") {
    const seconds = Math.ceil((back - Date.now()) / 1000);
    showState(section, "cut", seconds > 0 ? `back in ${seconds} s` : "coming back");
  } else {
    showState(section, state);
  }
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    drawChart($("#chart"), seen, (code) => `c${WATCHED.indexOf(code)}`);
  });
}

$("#base").addEventListener("change", watchAnew);
$("#targets").addEventListener("change", watchAnew);
new ResizeObserver(refresh).observe($("#chart"));
setInterval(refresh, 1_000);

// Live conversion: both sides stream, over a WebSocket.

const live = $("#live");
const slider = $("input", live), button = $("button", live);
/** @type {import("./protoway.js").Socket | undefined} */
let socket;
/** @type {{amount: number, fromCurrency: string, toCurrency: string}[]} */
let unanswered = [];
let answered = 0;

async function converse() {
  unanswered = [];
  answered = 0;
  button.textContent = "Half-close";
  const mine = (socket = openSocket("./convert:live"));
  ask();
  for await (const event of mine) {
    if (event.type === "open") showState(live, "live");
    if (event.type === "message") {
      const { amount, fromCurrency, toCurrency } = /** @type {any} */ (unanswered.shift());
      answered += 1;
      $(".answer strong").textContent =
        `${money(amount, fromCurrency)} = ${money(event.data.convertedAmount, toCurrency)}`;
      count();
    }
    if (event.type === "ended") showState(live, "ended", "OK");
    if (event.type === "failed" || event.type === "cut") {
      showState(live, event.type, CODES[event.error.code]);
      $(".count").textContent = event.error.message;
    }
  }
  socket = undefined;
  button.textContent = "Open again";
}

function ask() {
  $(".unit", live).textContent = pair().fromCurrency;
  if (!socket) return;
  const message = { ...pair(), amount: Number(slider.value) };
  socket.send(message);
  unanswered.push(message);
  count();
}

function count() {
  $(".count").textContent = `${answered + unanswered.length} sent, ${answered} answered, in order`;
}

slider.addEventListener("input", ask);
button.addEventListener("click", () => {
  if (!socket) converse();
  else socket.halfClose();
});

watchAnew();
convert();
converse();

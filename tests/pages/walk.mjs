// Walks all pages with Chromium: `walk.mjs URL OPERATOR_KEY CUSTOMER_KEY CUSTOMER_ID`, packages in $NODE_MODULES.
// It waits for conditions of the page or of the API, never for a time. The first one that does not come true ends it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [url, operatorKey, customerKey, customerId] = process.argv.slice(2);
/** The path under which the pages are. */
const base = new URL(url).pathname.replace(/\/$/, "");
const { origin } = new URL(url);
const load = createRequire(`${process.env.NODE_MODULES}/`);
const { chromium } = load("playwright-core");
const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
const LIMIT = 120_000;
const KETTLE = "5e0a7c1e-0000-4000-8000-0000000000f1";
/** All that the pages load, compressed. */
const MOST_BYTES = 150_000;

const api = async (method, path, body, key = operatorKey) => {
  const headers = { Authorization: `Bearer ${key}`, ...(body ? { "Content-Type": "application/json" } : {}) };
  const answer = await fetch(`${url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const json = await answer.json();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${JSON.stringify(json)}`);
  return json;
};
const place = (price, customer = customerId) => api("POST", "/orders", { customerId: customer, items: [{ productId: KETTLE, quantity: 1, price }], contact: { email: "ada@example.org" } });
const until = async (what, condition) => {
  for (const end = Date.now() + LIMIT; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const found = await condition();
    if (found) return found;
    assert.deepEqual(faults, []);
    assert.ok(Date.now() < end, `it never came true: ${what}`);
  }
};
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = async (word) => { console.log(word); await answers.next(); };
const step = (text) => console.log(`· ${text}`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const faults = [];
const open = async (options) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(LIMIT);
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) faults.push(message.text()); });
  return page;
};
const signIn = async (page, key) => {
  await page.getByLabel("Access key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
};
const heading = (page, name) => page.getByRole("heading", { level: 1, name }).waitFor();

// What is to be seen: parked orders, of a product whose total the sandbox never manages to charge, and one that can be cancelled.
await until("the demo's catalogue", async () => (await api("GET", "/orders?limit=1")).items.length > 0);
await api("PUT", `/products/${KETTLE}`, { name: "Storm kettle", price: "10.05", availableQuantity: 1000 });
for (let at = 0; at < 3; at++) await place("10.05");
await api("PUT", `/products/${KETTLE}`, { name: "Storm kettle", price: "12.00" });
const mine = await place("12.00");
await until("three orders are parked", async () => (await api("GET", "/admin/dlq/groups")).groups[0]?.count === 3);

// Signing in.
const page = await open();
let bytes = 0;
let requests = 0;
const network = await page.context().newCDPSession(page);
await network.send("Network.enable");
const assets = new Set();
network.on("Network.responseReceived", ({ requestId, response }) => { if (/\/assets\/|\/$/.test(response.url)) assets.add(requestId); });
network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => { if (assets.delete(requestId)) { bytes += encodedDataLength; requests += 1; } });
await page.goto(url);
await signIn(page, "a-key-that-is-not-known");
await page.getByText("This key is unknown").waitFor();
await signIn(page, operatorKey);
await heading(page, "Today");
step("a wrong key is refused, the operator's is taken");

// Items of one key, such as two troubles of one part, are shown once each, however often the list is told.
const shown = await page.evaluate(async (base) => {
  const { keyed } = await import(`${base}/assets/dom.js`);
  const list = document.createElement("ul");
  for (let times = 0; times < 3; times++) keyed(list, ["a", "b", "a"], (item) => item, () => document.createElement("li"));
  return [...list.children].map((item) => item.dataset.key);
}, base);
assert.deepEqual(shown, ["a", "b", "a#1"]);

// The dashboard tells what the API tells, and goes on by itself.
const tile = page.locator(".tile", { hasText: "Orders placed" }).locator(".tile-value");
const number = async () => Number((await tile.textContent()).replace(/\D/g, ""));
await until("the number of today's orders", async () => (await number()) > 0);
const first = await number();
await until("it grows", async () => (await number()) > first);
await until("the chart is drawn", () => page.locator(".chart canvas").count());
const most = async () => (await api("GET", "/analytics/dashboard")).orders.placed;
const before = await number();
// The API's own figures are up to a second old.
await until("the API has counted what the page shows", async () => (await most()) >= before);
const now = await most();
await until("the page has caught up with the API", async () => (await number()) >= now);
await page.getByRole("button", { name: "24 hours" }).click();
await page.locator(".figure .dim", { hasText: "orders per hour" }).waitFor();
step("the dashboard is live and equals the API");

// The list: what somebody works with stays where it is.
await page.getByRole("link", { name: "Orders", exact: true }).click();
await heading(page, "Orders");
const rows = page.locator(".orders tbody tr");
await until("orders are shown", async () => (await rows.count()) >= 5);
// All in one step of the page: orders come in between two.
const [href, top] = await rows.evaluateAll((all) => {
  const link = all[2].querySelector("a");
  link.focus();
  return [link.getAttribute("href"), all[0].dataset.key];
});
await page.locator(".fresh:visible").waitFor();
assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), href, "the focus stays on its order");
assert.equal(await rows.first().getAttribute("data-key"), top, "nothing moves while somebody works in the list");
await page.keyboard.press("Enter");
assert.ok(href.startsWith(`${base}/orders/`), href);
await page.waitForURL(`${origin}${href}`);
await heading(page, `Order ${href.split("/").pop()}`);
await page.goBack();
await page.getByLabel("Status").selectOption("SHIPPED");
await page.getByRole("button", { name: "Show" }).click();
await page.waitForURL(/status=SHIPPED/);
await until("only shipped ones", async () => {
  const shown = await page.locator(".orders .badge").evaluateAll((badges) => badges.map((badge) => badge.dataset.status));
  return shown.length > 0 && shown.every((status) => status === "SHIPPED");
});
step("the list holds still under the focus, Enter opens that order, filters filter");

// One order: found by its id, told whole, cancelled.
await page.getByLabel("Order id").fill(mine.orderId);
await page.keyboard.press("Enter");
await heading(page, `Order ${mine.orderId}`);
await page.getByRole("rowheader", { name: /Storm kettle/ }).waitFor();
await page.getByText("Waits for nothing").waitFor();
await page.getByRole("button", { name: "Cancel the order …" }).click();
await page.getByRole("dialog").getByText("€12.00 is refunded").waitFor();
await page.getByRole("dialog").getByRole("button", { name: "Cancel the order" }).click();
await page.locator(".lead .badge", { hasText: "Cancelled" }).waitFor();
const cancelled = await until("it is settled", async () => {
  const order = await api("GET", `/orders/${mine.orderId}`);
  return order.settled && order;
});
assert.equal(cancelled.status, "CANCELLED");
await until("all of its history", async () => (await page.locator(".timeline li").count()) === cancelled.history.length);
const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download as JSON" }).click()]);
assert.equal(JSON.parse(readFileSync(await file.path(), "utf8")).order.orderId, mine.orderId);
step("an order is found, told, cancelled and downloaded");

// Dead letters: one, then the rest of its group.
const strip = page.locator("#strip");
await strip.getByRole("link", { name: /3 parked orders/ }).click();
await heading(page, "Attention");
const group = page.locator(".group", { hasText: "payment-provider at charge" });
await group.getByText("Show them").click();
const letter = group.locator(".letter").first();
await letter.getByRole("link", { name: /^order/ }).click();
await page.getByText("Waits for a person").waitFor();
await page.locator(".letter").getByRole("button", { name: "Compensate …" }).click();
await page.getByRole("dialog").getByLabel("Note for the audit").fill("paid by invoice");
await page.getByRole("dialog").getByRole("button", { name: "Compensate" }).click();
await page.locator(".lead .badge", { hasText: "Cancelled" }).waitFor();
await page.locator(".letter").getByText("Compensated").first().waitFor();
await page.locator(".timeline").getByText("paid by invoice").waitFor();
await page.getByRole("link", { name: "Attention", exact: true }).click();
await group.locator(".group-count", { hasText: /^2$/ }).waitFor();
await group.getByRole("button", { name: "Compensate all …" }).click();
await page.getByRole("dialog").getByRole("button", { name: "Compensate 2" }).click();
await page.getByRole("dialog").getByText("2 done.").waitFor();
await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
await page.getByText("No open dead letters").waitFor();
assert.deepEqual((await api("GET", "/admin/dlq/groups")).groups, []);
await strip.getByText("nothing needs attention").first().waitFor();
step("dead letters are put right, one and a group; the strip is calm");

// The system: a breaker is opened, the strip says so on every page, and it is closed.
await page.getByRole("link", { name: "System", exact: true }).click();
await page.getByRole("row", { name: /alive/ }).waitFor();
const breaker = page.locator(".breaker", { hasText: "SMS gateway" });
const turn = async (name) => {
  await breaker.getByRole("button", { name: `${name} …` }).click();
  await page.getByRole("dialog").getByRole("button", { name, exact: true }).click();
};
await turn("Open");
await breaker.getByText("open: no calls").waitFor();
await strip.getByText("1 breaker open").waitFor();
await turn("Close");
await breaker.getByText("closed: calls go through").waitFor();
await strip.getByText("nothing needs attention").first().waitFor();
step("a breaker is turned");
console.log(`all pages: ${requests} files, ${bytes} bytes as they were sent`);
assert.ok(bytes > 0 && bytes < MOST_BYTES, `${bytes} bytes`);

// A report counts what the API counts; where the clock changes, a day is as long as it was.
await page.getByRole("link", { name: "Reports", exact: true }).click();
await page.getByRole("link", { name: "Today" }).click();
await page.waitForURL(/bucket=hour/);
await until("today's report", async () => Number((await page.locator("tfoot td").first().textContent()).replace(/\D/g, "")) >= now);
const berlin = await open({ timezoneId: "Europe/Berlin" });
await berlin.goto(url);
await signIn(berlin, operatorKey);
await heading(berlin, "Today");
await berlin.goto(`${url}/reports?from=2026-10-24&to=2026-10-28&bucket=day`);
await berlin.locator("tbody tr").nth(3).waitFor();
const starts = await berlin.locator("tbody time").evaluateAll((times) => times.map((time) => time.dateTime.slice(0, 16)));
assert.deepEqual(starts, ["2026-10-23T22:00", "2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00"]);
await berlin.context().close();
step("reports count, and their days are those of the time zone");

// Every page, in both schemes and on a small screen.
const paths = ["/", "/orders", `/orders/${mine.orderId}`, "/reports", "/attention", "/attention?state=closed", "/system"];
for (const colorScheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme });
  for (const path of paths) {
    await page.goto(url + path);
    await page.locator("main h1").waitFor();
    await page.locator("#connection.live").waitFor();
    for (const summary of await page.locator("main summary:visible").all()) await summary.click();
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], `axe finds nothing on ${path} in ${colorScheme}`);
  }
}
// Every page names the command that shows the same.
const commands = [
  ["/", "ordermill top"], [`/orders?status=SHIPPED&from=7d`, "ordermill orders list --status SHIPPED --since 7d"],
  [`/orders/${mine.orderId}`, `ordermill orders show ${mine.orderId}`], ["/reports?from=2026-10-24&to=2026-10-28&bucket=day", "ordermill report --from"],
  ["/attention", "ordermill status"], ["/attention?state=closed", "ordermill dlq list --state any"], ["/system", "ordermill top"],
];
for (const [path, command] of commands) {
  await page.goto(url + path);
  await page.locator(".command code", { hasText: command }).first().waitFor();
}
step("every page names the command that shows the same");

await page.setViewportSize({ width: 360, height: 740 });
for (const path of paths) {
  await page.goto(url + path);
  await page.locator("main h1").waitFor();
  await page.locator("#connection.live").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, `${path} fits a small screen`);
}
await page.goto(`${url}/orders`);
for (const part of [".badge", ".c-total"]) {
  const box = await rows.first().locator(part).boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= 360 && box.y + box.height <= 740, `${part} is on a small screen: ${JSON.stringify(box)}`);
}
await page.setViewportSize({ width: 1440, height: 900 });
step("axe finds nothing on any page, light or dark; all fit 360 px");

// A lost connection is shown and mended.
await tell("stop");
await page.getByText("Connection lost").waitFor();
// It is said for some seconds only, perhaps before the node is known to have started.
const back = page.getByText("Connection is back").waitFor();
await tell("start");
await back;
const after = await place("12.00");
await page.locator(`tr[data-key="${after.orderId}"]`).waitFor();
step("a lost connection is shown, and is back with what came meanwhile");

// Another key: what the operator saw is gone, and the customer sees only what is theirs.
const others = (await api("GET", "/orders?limit=50")).items.find((order) => order.customerId !== customerId).orderId;
await page.getByRole("button", { name: "Sign out" }).click();
await page.getByLabel("Access key").waitFor();
assert.equal(await strip.isVisible(), false);
assert.doesNotMatch(await page.locator("body").innerText(), /€/, "no number of the operator's is left");
await signIn(page, customerKey);
await heading(page, "Orders");
await page.locator(`tr[data-key="${mine.orderId}"]`).waitFor();
assert.deepEqual(await page.locator("nav a").allTextContents(), ["Orders"]);
const seen = (await api("GET", "/orders?limit=50", undefined, customerKey)).items.map((order) => order.orderId);
assert.deepEqual((await rows.evaluateAll((all) => all.map((row) => row.dataset.key))).filter((id) => !seen.includes(id)), []);
await page.goto(`${url}/orders/${others}`);
await page.getByText("There is no such order, or this key may not see it.").waitFor();
await page.goto(`${url}/orders/${after.orderId}`);
await page.getByRole("button", { name: "Cancel the order …" }).waitFor();
assert.equal(await page.getByRole("button", { name: "Ship …" }).count(), 0, "a button that the key may not use is not shown");
step("a customer's key sees its own and no more");

// At the node's own address, the same pages lead to its own addresses.
if (base !== "") {
  await page.goto(`${origin}/orders/${after.orderId}`);
  await heading(page, `Order ${after.orderId}`);
  await page.locator("#connection.live").waitFor();
  await page.locator("nav").getByRole("link", { name: "Orders", exact: true }).click();
  await page.waitForURL(`${origin}/orders`);
  await page.locator(`a[href="/orders/${after.orderId}"]`).waitFor();
  assert.equal(await page.locator(".brand").getAttribute("href"), "/");
  step("the pages are the same without the path");
}

await page.goto("about:blank");
assert.deepEqual(faults, []);
await browser.close();
process.exit(0);

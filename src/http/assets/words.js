// What the API's codes mean, in words.

import { h } from "./dom.js";

/** Status → [label, tone, what it means]. Tones also have a sign, for those who do not see the colours apart. */
export const STATUS = {
  PENDING: ["Pending", "busy", "Waits for the stock's answer"],
  INVENTORY_RESERVED: ["Reserved", "busy", "Stock is held; waits for the payment"],
  CONFIRMED: ["Confirmed", "good", "Stock is held and the payment is taken"],
  SHIPPED: ["Shipped", "done", "The goods have left"],
  PAYMENT_FAILED: ["Payment failed", "warn", "The payment failed; stock is being released"],
  CANCELLING: ["Cancelling", "warn", "Is being cancelled; stock is being released"],
  REFUNDING: ["Refunding", "warn", "Is being cancelled; the money is being refunded"],
  FAILED: ["Failed", "bad", "Ended without goods: it was not paid"],
  CANCELLED: ["Cancelled", "plain", "Ended without goods: it was cancelled"],
};
const SIGNS = { busy: "◔", good: "●", done: "✓", warn: "▲", bad: "✗", plain: "○" };

export function badge(status) {
  const made = h("span", { class: "badge" });
  setBadge(made, status);
  return made;
}

export function setBadge(element, status) {
  if (element.dataset.status === status) return;
  const [label, tone, title] = STATUS[status] ?? [status, "plain", ""];
  element.dataset.status = status;
  element.className = `badge ${tone}`;
  element.title = `${status}: ${title}`;
  element.replaceChildren(h("span", { "aria-hidden": "true" }, SIGNS[tone]), ` ${label}`);
}

/** Event → [what it says, tone]. */
export const EVENTS = {
  OrderCreated: ["Order accepted", "plain"],
  InventoryReserved: ["Stock reserved", "good"],
  InventoryInsufficient: ["Not enough stock", "bad"],
  InventoryReleased: ["Stock released", "plain"],
  InventoryShipped: ["Stock booked out", "done"],
  PaymentProcessed: ["Payment taken", "good"],
  PaymentFailed: ["Payment failed", "bad"],
  PaymentCancelled: ["Payment called off: nothing is charged", "plain"],
  PaymentRefunded: ["Money refunded", "plain"],
  OrderConfirmed: ["Order confirmed", "good"],
  OrderCancelRequested: ["Cancellation asked for", "warn"],
  OrderCancelled: ["Order cancelled", "plain"],
  OrderFailed: ["Order failed", "bad"],
  ShipmentHeld: ["Shipment held: the order is not paid", "warn"],
  OrderShipped: ["Goods left", "done"],
  NotificationSent: ["Customer notified", "plain"],
  NotificationFailed: ["Customer could not be notified", "bad"],
  AnswerAccepted: ["Another team's answer accepted", "plain"],
  PaymentParked: ["Parked: the payment role gave up", "bad"],
  InventoryParked: ["Parked: the inventory role gave up", "bad"],
};

export const REASONS = {
  "out-of-stock": "Out of stock",
  "price-mismatch": "Price differs from the catalogue",
  "unknown-product": "Unknown product",
  discontinued: "Product discontinued",
  "cancelled-by-customer": "Cancelled by the customer",
  "cancelled-by-operator": "Cancelled by an operator",
  expired: "Order expired",
  "payment-deadline": "Payment deadline passed",
  "payment-cancelled": "Payment called off",
  other: "Other",
};
export const reasonOf = (code) => REASONS[code] ?? code;

/** What an order waits for. */
export const ANSWERS = {
  RESERVATION: "the stock to be reserved",
  CHARGE: "the payment to be taken",
  RELEASE: "the stock to be released",
  REFUND: "the money to be refunded",
  SHIPMENT: "the stock to be booked out",
  NOTICE: "the customer to be notified",
};

export const NOTICES = {
  CONFIRMATION: "Order confirmed", FAILURE: "Order failed", CANCELLATION: "Cancelled and refunded", SHIPPING: "Goods left",
  UNAVAILABLE: "Not available", PRICE_CHANGED: "Price changed", EXPIRED: "Order expired", CALLED_OFF: "Called off",
};

export const KINDS = {
  STEP: ["Step", "A step of an order has used up its retries. The order is parked until a person decides."],
  NOTICE: ["Notice", "A notice was given up. The order itself is not held up."],
  ANOMALY: ["Anomaly", "An answer contradicts an earlier one, or came too late."],
  MESSAGE: ["Message", "A message from Kafka could not be processed."],
};

/** Action on a dead letter → [label, what it will do]. */
export const ACTIONS = {
  reprocess: ["Reprocess", {
    STEP: "The step is tried again, with all its retries, and the order continues if it succeeds.",
    NOTICE: "The notice is sent again.",
    MESSAGE: "The message is processed again.",
    "stray-refund": "The money beside the order's payment is refunded; the order stays as it is.",
  }],
  accept: ["Accept", { STEP: "The other team's answer counts although it differs from the order, and the order continues." }],
  compensate: ["Compensate", {
    STEP: "The order is cancelled and what was done for it is undone: stock is released, money is refunded, the customer is notified.",
    ANOMALY: "The order is cancelled and what was done for it is undone: stock is released, money is refunded, the customer is notified.",
    "stray-refund": "The money beside the order's payment is refunded; the order stays as it is.",
  }],
  done: ["Done by hand", {
    STEP: "A person did the step elsewhere, and the order continues. Say what was done, and where. For money, the payment provider is asked first.",
    NOTICE: "The customer was told in another way; the letter is closed.",
    ANOMALY: "A person has seen to it; the letter is closed.",
    MESSAGE: "A person has seen to it; the letter is closed.",
    "stray-refund": "A person refunded that money. Say where; the payment provider is asked first.",
  }],
  skip: ["Skip", {
    STEP: "The order continues as if the step had not been needed. Refused where money or stock must be given back.",
    NOTICE: "The notice is not sent.",
    MESSAGE: "The message is passed over.",
  }],
  discard: ["Discard", {
    NOTICE: "The letter is closed and nothing else happens: the notice is not sent.",
    ANOMALY: "The letter is closed and nothing else happens.",
    MESSAGE: "The letter is closed and nothing else happens: the message is passed over.",
  }],
};
const DISPUTES = ["amount-mismatch", "currency-mismatch", "reservation-mismatch"];

/** The actions that a letter allows, most useful first; the node has the last word. */
export function actionsOf({ kind, cause, step }) {
  if (step === "stray-refund" || cause === "stray-refund") return [["reprocess", "stray-refund"], ["done", "stray-refund"], ["compensate", "stray-refund"]];
  if (cause === "external-role") return [["done", "STEP"]];
  if (DISPUTES.includes(cause)) return [["accept", "STEP"], ["compensate", "STEP"], ["done", "STEP"]];
  const names = kind === "STEP" ? ["reprocess", "compensate", "done", "skip"]
    : kind === "NOTICE" ? ["reprocess", "done", "discard"]
    : kind === "ANOMALY" ? ["discard", "done", "compensate"]
    : ["reprocess", "skip", "discard"];
  return names.map((name) => [name, kind]);
}

export const LETTER_STATES = {
  OPEN: ["Open", "bad"], REPROCESSED: ["Reprocessed", "good"], SKIPPED: ["Skipped", "plain"], COMPENSATED: ["Compensated", "plain"],
  DISCARDED: ["Discarded", "plain"], DONE: ["Done by hand", "good"], ACCEPTED: ["Accepted", "good"], SUPERSEDED: ["Closed by itself", "plain"],
};

export function letterBadge(state) {
  const [label, tone] = LETTER_STATES[state] ?? [state, "plain"];
  return h("span", { class: `badge ${tone}`, title: state }, h("span", { "aria-hidden": "true" }, SIGNS[tone]), ` ${label}`);
}

export const signed = (tone, text) => h("span", { class: `badge ${tone}` }, h("span", { "aria-hidden": "true" }, SIGNS[tone]), ` ${text}`);
export const sign = (tone) => SIGNS[tone] ?? "•";

/** What needs attention → [name of one, name of many, where it is seen to]. */
export const ATTENTION = {
  node: ["node not ready", "nodes not ready", "/system"],
  shards: ["shard without a node", "shards without a node", "/system"],
  breaker: ["breaker open", "breakers open", "/system"],
  "parked-orders": ["parked order", "parked orders", "/attention"],
  "dead-letters": ["other dead letter", "other dead letters", "/attention"],
  "standing-orders": ["order stands still", "orders stand still", "/orders?to=5m"],
  "waiting-notices": ["order waits for a notice", "orders wait for a notice", "/system"],
  lag: ["event behind Kafka", "events behind Kafka", "/system"],
  component: ["part with a problem", "parts with a problem", "/system"],
};

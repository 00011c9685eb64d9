// Places an order through the generated client, waits until it is confirmed, and reads what a broken one is refused for.
import { Configuration, OrdersApi, ProblemFromJSON, ResponseError, Status } from "./client/index.js";

declare const process: { argv: string[] };

const [basePath, customerId, productId, price] = process.argv.slice(2) as [string, string, string, string];
const orders = new OrdersApi(new Configuration({ basePath }));
const orderOf = (price: string) => ({ customerId, items: [{ productId, quantity: 2, price }] });

const placed = await orders.placeOrder({ orderRequest: orderOf(price), idempotencyKey: "basket-typescript" });
let now = await orders.showOrderStatus({ id: placed.orderId, wait: "30s" });
while (now.status !== Status.Confirmed) {
  now = await orders.showOrderStatus({ id: placed.orderId, wait: "30s" });
}
const whole = await orders.showOrder({ id: placed.orderId });
console.log(`order ${whole.orderId} ${whole.status} ${whole.totalAmount} ${whole.items[0]!.quantity}`);
const page = await orders.listOrders({ customerId, status: Status.Confirmed });
console.log(`listed ${page.items.map((item) => item.orderId).join(" ")}`);

try {
  await orders.placeOrder({ orderRequest: orderOf("12.345") });
} catch (error) {
  if (!(error instanceof ResponseError)) throw error;
  const problem = ProblemFromJSON(await error.response.json());
  const [field] = problem.errors!;
  console.log(`problem ${problem.status} ${problem.type} ${field!._in} ${field!.pointer}: ${field!.detail}`);
}

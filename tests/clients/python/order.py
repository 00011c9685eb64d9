"""Places an order through the generated client, waits until it is confirmed, and reads what a broken one is refused for."""
import sys
from uuid import UUID

from httpx import Timeout
from ordermill_client import Client
from ordermill_client.api.orders import list_orders, place_order, show_order, show_order_status
from ordermill_client.models import ItemRequest, OrderAccepted, OrderPage, OrderRequest, OrderStatusView, OrderView, Problem, Status

url, customer, product, price = sys.argv[1:]
client = Client(base_url=url, timeout=Timeout(70))


def order_of(price: str) -> OrderRequest:
    return OrderRequest(customer_id=UUID(customer), items=[ItemRequest(product_id=UUID(product), quantity=2, price=price)])


placed = place_order.sync(client=client, body=order_of(price), idempotency_key="basket-python")
assert isinstance(placed, OrderAccepted), placed
now = None
while not (isinstance(now, OrderStatusView) and now.status == Status.CONFIRMED):
    now = show_order_status.sync(placed.order_id, client=client, wait="30s")
whole = show_order.sync(placed.order_id, client=client)
assert isinstance(whole, OrderView), whole
print("order", whole.order_id, whole.status, whole.total_amount, whole.items[0].quantity)
page = list_orders.sync(client=client, customer_id=UUID(customer), status=Status.CONFIRMED)
assert isinstance(page, OrderPage), page
print("listed", *(item.order_id for item in page.items))

problem = place_order.sync(client=client, body=order_of("12.345"))
assert isinstance(problem, Problem) and problem.errors, problem
[field] = problem.errors
print("problem", problem.status, problem.type_, field.in_, f"{field.pointer}: {field.detail}")

import java.util.List;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.OrdersApi;
import org.openapitools.client.model.FieldProblem;
import org.openapitools.client.model.ItemRequest;
import org.openapitools.client.model.OrderAccepted;
import org.openapitools.client.model.OrderPage;
import org.openapitools.client.model.OrderRequest;
import org.openapitools.client.model.OrderView;
import org.openapitools.client.model.Problem;
import org.openapitools.client.model.Status;

/** Places an order through the generated client, waits until it is confirmed, and reads what a broken one is refused for. */
public class Order {
    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        OrdersApi orders = new OrdersApi(client);
        UUID customer = UUID.fromString(arguments[1]);
        UUID product = UUID.fromString(arguments[2]);

        OrderAccepted placed = orders.placeOrder(orderOf(customer, product, arguments[3]), "basket-java", null);
        while (orders.showOrderStatus(placed.getOrderId(), "30s").getStatus() != Status.CONFIRMED) {}
        OrderView whole = orders.showOrder(placed.getOrderId());
        int quantity = whole.getItems().get(0).getQuantity();
        System.out.println("order " + whole.getOrderId() + " " + whole.getStatus() + " " + whole.getTotalAmount() + " " + quantity);
        OrderPage page = orders.listOrders(customer, Status.CONFIRMED, null, null, null, null);
        System.out.print("listed");
        page.getItems().forEach(item -> System.out.print(" " + item.getOrderId()));
        System.out.println();

        try {
            orders.placeOrder(orderOf(customer, product, "12.345"), null, null);
        } catch (ApiException refused) {
            Problem problem = client.getObjectMapper().readValue(refused.getResponseBody(), Problem.class);
            FieldProblem field = problem.getErrors().get(0);
            System.out.println("problem " + problem.getStatus() + " " + problem.getType() + " " + field.getIn() + " "
                + field.getPointer() + ": " + field.getDetail());
        }
    }

    private static OrderRequest orderOf(UUID customer, UUID product, String price) {
        return new OrderRequest().customerId(customer)
            .items(List.of(new ItemRequest().productId(product).quantity(2).price(price)));
    }
}

// Places an order through the generated client, waits until it is confirmed, and reads what a broken one is refused for.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"example/client"
)

func main() {
	url, customer, product, price := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	settings := client.NewConfiguration()
	settings.Servers = client.ServerConfigurations{{URL: url}}
	orders := client.NewAPIClient(settings).OrdersAPI
	ctx := context.Background()
	orderOf := func(price string) client.OrderRequest {
		return *client.NewOrderRequest(customer, []client.ItemRequest{*client.NewItemRequest(price, product, 2)})
	}

	placed, _, err := orders.PlaceOrder(ctx).OrderRequest(orderOf(price)).IdempotencyKey("basket-go").Execute()
	check(err)
	for {
		now, _, err := orders.ShowOrderStatus(ctx, placed.OrderId).Wait("30s").Execute()
		check(err)
		if now.Status == client.CONFIRMED {
			break
		}
	}
	whole, _, err := orders.ShowOrder(ctx, placed.OrderId).Execute()
	check(err)
	fmt.Println("order", whole.OrderId, whole.Status, whole.TotalAmount, whole.Items[0].Quantity)
	page, _, err := orders.ListOrders(ctx).CustomerId(customer).Status(client.CONFIRMED).Execute()
	check(err)
	fmt.Print("listed")
	for _, item := range page.Items {
		fmt.Print(" ", item.OrderId)
	}
	fmt.Println()

	_, _, err = orders.PlaceOrder(ctx).OrderRequest(orderOf("12.345")).Execute()
	var refused *client.GenericOpenAPIError
	if !errors.As(err, &refused) {
		log.Fatal(err)
	}
	problem := refused.Model().(client.Problem)
	field := problem.Errors[0]
	fmt.Printf("problem %d %s %s %s: %s\n", problem.Status, problem.Type, field.In, field.Pointer, field.Detail)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A payment service with franz-go in its default settings. It charges up to 500 and declines more. What it reads is printed:
// read TOPIC TYPE ORDER.
//
//	payments BROKERS TOPIC_PREFIX
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What it needs of an event.
type event struct {
	OrderID       string `json:"orderId"`
	TotalAmount   string `json:"totalAmount"`
	CorrelationID string `json:"correlationId"`
}

// What it says; a field that is not set is written as Go does.
type answer struct {
	EventID       string    `json:"eventId"`
	OrderID       string    `json:"orderId"`
	PaymentID     string    `json:"paymentId"`
	Amount        float64   `json:"amount,omitempty"`
	PaymentMethod string    `json:"paymentMethod,omitempty"`
	Reason        string    `json:"reason,omitempty"`
	CorrelationID string    `json:"correlationId"`
	Timestamp     time.Time `json:"timestamp"`
}

type payments struct {
	client   *kgo.Client
	prefix   string
	orders   map[string]event
	reserved map[string]bool
	answered map[string]bool
}

func header(record *kgo.Record, name string) string {
	for _, header := range record.Headers {
		if header.Key == name {
			return string(header.Value)
		}
	}
	return "-"
}

func (p *payments) hear(record *kgo.Record) error {
	name, kind := strings.TrimPrefix(record.Topic, p.prefix), header(record, "ce_type")
	fmt.Println("read", name, kind, string(record.Key))
	if !strings.HasPrefix(kind, "ordermill.") || strings.HasSuffix(name, ".DLQ") {
		return nil
	}
	var heard event
	if err := json.Unmarshal(record.Value, &heard); err != nil {
		return err
	}
	switch kind {
	case "ordermill.OrderCreated.v1":
		p.orders[heard.OrderID] = heard
	case "ordermill.InventoryReserved.v1":
		p.reserved[heard.OrderID] = true
	}
	return p.answer(heard.OrderID)
}

func (p *payments) answer(id string) error {
	order, known := p.orders[id]
	if !known || !p.reserved[id] || p.answered[id] {
		return nil
	}
	p.answered[id] = true
	total, err := strconv.ParseFloat(order.TotalAmount, 64)
	if err != nil {
		return err
	}
	kind, said := "PaymentProcessed", answer{Amount: total, PaymentMethod: "CARD"}
	if total > 500 {
		kind, said = "PaymentFailed", answer{Reason: "over the limit"}
	}
	number := strconv.Itoa(len(p.answered))
	said.EventID, said.PaymentID = "evt_"+number, "pi_"+number
	said.OrderID, said.CorrelationID, said.Timestamp = id, order.CorrelationID, time.Now()
	value, err := json.Marshal(said)
	if err != nil {
		return err
	}
	return p.client.ProduceSync(context.Background(), &kgo.Record{
		Topic:   p.prefix + "payment-events",
		Key:     []byte(id),
		Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte(kind)}},
		Value:   value,
	}).FirstErr()
}

func run(brokers, prefix string) error {
	var topics []string
	for _, role := range []string{"order", "inventory", "payment", "notification", "shipping"} {
		topics = append(topics, prefix+role+"-events", prefix+role+"-events.DLQ")
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumerGroup(prefix+"go"),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	service := &payments{client, prefix, map[string]event{}, map[string]bool{}, map[string]bool{}}
	fmt.Println("ready")
	for {
		fetched := client.PollFetches(context.Background())
		if errs := fetched.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		for _, record := range fetched.Records() {
			if err := service.hear(record); err != nil {
				return err
			}
		}
	}
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Println("crashed", err)
		os.Exit(1)
	}
}

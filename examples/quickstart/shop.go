package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	_ "modernc.org/sqlite" // the driver that makeShop names
)

const (
	invoices    = 40
	staleCount  = 500 // reservations that have no expiry, and so would stay for ever
	livingCount = 20  // reservations that have one

	schema = `
CREATE TABLE invoices (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL, booked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE ledger (id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL, cents INTEGER NOT NULL);`
)

func makeShop(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	for id := 1; id <= invoices; id++ {
		if _, err := db.ExecContext(ctx, "INSERT INTO invoices (id, customer, cents) VALUES (?, ?, ?)",
			id, fmt.Sprintf("customer %d", id%7), 1000+37*id); err != nil {
			return err
		}
	}
	return nil
}

func startRedis() (*miniredis.Miniredis, error) {
	cache := miniredis.NewMiniRedis()
	if err := cache.Start(); err != nil {
		return nil, err
	}
	for i := range staleCount {
		if err := cache.Set("reservation:"+strconv.Itoa(i), "left over"); err != nil {
			return nil, err
		}
	}
	for i := range livingCount {
		key := "reservation:live:" + strconv.Itoa(i)
		if err := cache.Set(key, "a customer is at it"); err != nil {
			return nil, err
		}
		cache.SetTTL(key, time.Hour)
	}
	return cache, nil
}

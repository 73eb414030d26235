"""The warehouse: two raw tables with generated data, and two models on top of them.

The data is the same in each run, because all values are derived from the row number.
"""

from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

RAW_CUSTOMERS = """
    SELECT
        i AS customer_id,
        first_name,
        last_name,
        CASE WHEN i % 250 = 0
            THEN lower(first_name || '.' || last_name) || i || ' at example.com'  -- a typo
            ELSE lower(first_name || '.' || last_name) || i || '@example.com'
        END AS email,
        ['free', 'starter', 'pro'][1 + i * 7 % 3] AS plan,
        DATE '2026-01-01' + CAST(i * 37 % 365 AS INTEGER) AS signed_up_on
    FROM (
        SELECT
            CAST(range AS INTEGER) AS i,
            ['Ada', 'Ben', 'Chloe', 'Dan', 'Eve', 'Finn', 'Gil'][1 + i % 7] AS first_name,
            ['Abel', 'Brown', 'Costa', 'Diaz', 'Ek', 'Fox', 'Gray', 'Hill', 'Ito', 'Jones', 'Khan']
                [1 + i % 11] AS last_name
        FROM range(1, 2001)
    )
"""

RAW_ORDERS = """
    SELECT
        i AS order_id,
        1 + i * 7919 % 2000 AS customer_id,
        CASE WHEN i % 9 = 0 THEN 'cart' WHEN i % 31 = 0 THEN 'refunded' ELSE 'paid' END AS status,
        CAST(5 + i * 613 % 20000 / 100.0 AS DECIMAL(10, 2)) AS amount,
        TIMESTAMP '2026-01-01' + to_minutes(i * 87) AS ordered_at
    FROM (SELECT CAST(range AS INTEGER) AS i FROM range(1, 6001))
"""

CUSTOMER_360 = """
    SELECT
        customer_id,
        email,
        first_name,
        last_name,
        plan,
        count(order_id) AS orders,
        coalesce(sum(amount), 0) AS lifetime_value,
        CAST(max(ordered_at) AS DATE) AS last_order_on
    FROM raw.customers
    LEFT JOIN (SELECT * FROM raw.orders WHERE status = 'paid') USING (customer_id)
    GROUP BY ALL
    ORDER BY customer_id
"""

# The ads network gets the hash of the e-mail address. An address with a typo would match no one.
ABANDONED_CARTS = """
    SELECT
        customer_id,
        sha256(email) AS email_sha256,
        count(*) AS carts,
        sum(amount) AS cart_value,
        max(ordered_at) AS abandoned_at
    FROM raw.customers
    JOIN raw.orders USING (customer_id)
    WHERE status = 'cart' AND contains(email, '@')
    GROUP BY ALL
    ORDER BY customer_id
"""


def _table(name: str) -> dict[str, str]:
    return {"dagster/table_name": f"warehouse.{name}"}


def _create(warehouse: DuckDBResource, name: str, query: str) -> dg.MaterializeResult[Any]:
    schema = name.partition(".")[0]
    with warehouse.get_connection() as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
        row_count = len(connection.table(name))
    return dg.MaterializeResult(metadata={"dagster/row_count": row_count})


@dg.asset(group_name="raw", kinds={"duckdb"}, metadata=_table("raw.customers"))
def raw_customers(warehouse: DuckDBResource) -> dg.MaterializeResult[Any]:
    """Customers of a shop. Every 250th e-mail address has a typo."""
    return _create(warehouse, "raw.customers", RAW_CUSTOMERS)


@dg.asset(group_name="raw", kinds={"duckdb"}, metadata=_table("raw.orders"))
def raw_orders(warehouse: DuckDBResource) -> dg.MaterializeResult[Any]:
    """Orders of the shop. A cart that was not paid is an order with the status `cart`."""
    return _create(warehouse, "raw.orders", RAW_ORDERS)


@dg.asset(
    deps=[raw_customers, raw_orders],
    group_name="models",
    kinds={"duckdb", "sql"},
    metadata=_table("analytics.customer_360"),
)
def customer_360(warehouse: DuckDBResource) -> dg.MaterializeResult[Any]:
    """One row per customer, with contact data and totals of the paid orders."""
    return _create(warehouse, "analytics.customer_360", CUSTOMER_360)


@dg.asset(
    deps=[raw_customers, raw_orders],
    group_name="models",
    kinds={"duckdb", "sql"},
    metadata=_table("analytics.abandoned_carts"),
)
def abandoned_carts(warehouse: DuckDBResource) -> dg.MaterializeResult[Any]:
    """One row per customer with an unpaid cart."""
    return _create(warehouse, "analytics.abandoned_carts", ABANDONED_CARTS)

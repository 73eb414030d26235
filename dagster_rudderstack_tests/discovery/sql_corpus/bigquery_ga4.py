"""Models of Google Analytics 4 exports and of nested columns in BigQuery.

The schema of these exports is public, so it counts as known.
"""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "ga4 event parameters by alias",
        "bigquery",
        """select user_pseudo_id,
            (select ep.value.string_value from unnest(event_params) as ep
             where ep.key = 'page_location') as page_location,
            (select ep.value.int_value from unnest(event_params) ep
             where ep.key = 'ga_session_id') as session_id
        from `acme.analytics_123.events_*`
        where _table_suffix between '20240101' and '20240131'""",
        {"acme.analytics_123.events_*"},
        {
            "user_pseudo_id": {"acme.analytics_123.events_*.user_pseudo_id"},
            "page_location": {"acme.analytics_123.events_*.event_params"},
            "session_id": {"acme.analytics_123.events_*.event_params"},
        },
    ),
    Statement(
        "ga4 event parameters without an alias",
        "bigquery",
        """select event_name, (select value.string_value from unnest(event_params)
            where key = 'source') as source from `analytics_123.events_20240101`""",
        {"analytics_123.events_20240101"},
        {
            "event_name": {"analytics_123.events_20240101.event_name"},
            "source": {"analytics_123.events_20240101.event_params"},
        },
    ),
    Statement(
        "a name in an unnest without an alias is taken for a field of its elements",
        "bigquery",
        """select id, (select string_agg(name) from unnest(items)) as names from shop.orders""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "names": {"shop.orders.items"}},
    ),
    Statement(
        "a name next to elements whose fields are qualified is taken for a column of the table",
        "bigquery",
        """select email, item.sku from shop.orders, unnest(items) as item""",
        {"shop.orders"},
        {"email": UNKNOWN, "sku": {"shop.orders.items"}},
        also={"email": {"shop.orders.email"}},
    ),
    Statement(
        "ga4 session key",
        "bigquery",
        """select concat(e.user_pseudo_id, '-', cast((select ep.value.int_value
            from unnest(e.event_params) ep where ep.key = 'ga_session_id') as string)) as
            session_key,
            min(e.event_timestamp) as started_at, count(*) as events,
            countif(e.event_name = 'purchase') as purchases
        from `acme`.`analytics_123`.`events_*` e group by 1""",
        {"acme.analytics_123.events_*"},
        {
            "session_key": {
                "acme.analytics_123.events_*.user_pseudo_id",
                "acme.analytics_123.events_*.event_params",
            },
            "started_at": {"acme.analytics_123.events_*.event_timestamp"},
            "events": NONE,
            "purchases": {"acme.analytics_123.events_*.event_name"},
        },
    ),
    Statement(
        "ga4 table suffix as a date",
        "bigquery",
        """select parse_date('%Y%m%d', _TABLE_SUFFIX) as day, event_name
        from `acme.analytics_123.events_*` where _TABLE_SUFFIX >= '20240101'""",
        {"acme.analytics_123.events_*"},
        {
            "day": {"acme.analytics_123.events_*._TABLE_SUFFIX"},
            "event_name": {"acme.analytics_123.events_*.event_name"},
        },
    ),
    Statement(
        "ga4 struct fields",
        "bigquery",
        """select device.category as device_category, geo.country, traffic_source.source,
            device.web_info.browser as browser, user_first_touch_timestamp
        from acme.analytics_123.events_20240101""",
        {"acme.analytics_123.events_20240101"},
        {
            "device_category": {"acme.analytics_123.events_20240101.device"},
            "country": {"acme.analytics_123.events_20240101.geo"},
            "source": {"acme.analytics_123.events_20240101.traffic_source"},
            "browser": {"acme.analytics_123.events_20240101.device"},
            "user_first_touch_timestamp": {
                "acme.analytics_123.events_20240101.user_first_touch_timestamp"
            },
        },
    ),
    Statement(
        "ga4 items joined by comma",
        "bigquery",
        """select e.user_id, item.item_name, item.price * item.quantity as revenue
        from `analytics_123.events_*` as e, unnest(e.items) as item
        where e.event_name = 'purchase'""",
        {"analytics_123.events_*"},
        {
            "user_id": {"analytics_123.events_*.user_id"},
            "item_name": {"analytics_123.events_*.items"},
            "revenue": {"analytics_123.events_*.items"},
        },
    ),
    Statement(
        "ga4 user properties pivoted by hand",
        "bigquery",
        """select user_id,
            max(if(up.key = 'plan', up.value.string_value, null)) as plan,
            max(if(up.key = 'seats', up.value.int_value, null)) as seats
        from `analytics_123.events_*`, unnest(user_properties) up
        where user_id is not null group by user_id""",
        {"analytics_123.events_*"},
        {
            "user_id": {"analytics_123.events_*.user_id"},
            "plan": {"analytics_123.events_*.user_properties"},
            "seats": {"analytics_123.events_*.user_properties"},
        },
    ),
    Statement(
        "ga4 sessions of two steps",
        "bigquery",
        """with events as (
            select user_pseudo_id as uid, timestamp_micros(event_timestamp) as ts,
                (select p.value.int_value from unnest(event_params) p
                 where p.key = 'ga_session_id') as sid
            from `analytics_1.events_*`
        ), sessions as (
            select uid, sid, min(ts) as start_ts, max(ts) as end_ts from events group by uid, sid
        ) select uid, count(distinct sid) as sessions,
            sum(timestamp_diff(end_ts, start_ts, second)) as seconds from sessions group by uid""",
        {"analytics_1.events_*"},
        {
            "uid": {"analytics_1.events_*.user_pseudo_id"},
            "sessions": {"analytics_1.events_*.event_params"},
            "seconds": {"analytics_1.events_*.event_timestamp"},
        },
    ),
    Statement(
        "ga4 last touch by array_agg",
        "bigquery",
        """select user_id, array_agg(traffic_source.medium ignore nulls
            order by event_timestamp desc limit 1)[safe_offset(0)] as last_medium
        from `analytics_1.events_*` group by user_id""",
        {"analytics_1.events_*"},
        {
            "user_id": {"analytics_1.events_*.user_id"},
            "last_medium": {
                "analytics_1.events_*.traffic_source",
                "analytics_1.events_*.event_timestamp",
            },
        },
    ),
    Statement(
        "element of an array by offset",
        "bigquery",
        """select id, tags[offset(0)] as first_tag, tags[safe_ordinal(2)] as second_tag,
            addresses[0].city as city from crm.people""",
        {"crm.people"},
        {
            "first_tag": {"crm.people.tags"},
            "second_tag": {"crm.people.tags"},
            "city": {"crm.people.addresses"},
        },
    ),
    Statement(
        "array of a table in FROM",
        "bigquery",
        """select o.id, i.sku, pos from shop.orders o, o.items i with offset as pos""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "pos": {"shop.orders.items"}},
    ),
    Statement(
        "left join of an array",
        "bigquery",
        """select o.id, i.sku from shop.orders as o left join unnest(o.items) as i
            on i.quantity > 1""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}},
    ),
    Statement(
        "array of scalars",
        "bigquery",
        """select p.id, tag from crm.people p cross join unnest(p.tags) as tag""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "tag": {"crm.people.tags"}},
    ),
    Statement(
        "nested arrays",
        "bigquery",
        """select o.id, d.code from shop.orders o, unnest(o.items) as i,
            unnest(i.discounts) as d""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "code": {"shop.orders.items"}},
    ),
    Statement(
        "array of a subquery",
        "bigquery",
        """select o.id, array(select as struct i.sku, i.price from unnest(o.items) i
            where i.price > 0 order by i.price) as lines from shop.orders o""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "lines": {"shop.orders.items"}},
    ),
    Statement(
        "array_agg of structs",
        "bigquery",
        """select customer_id, array_agg(struct(id as order_id, total, 'EUR' as currency)
            order by created_at desc limit 5) as last_orders from shop.orders group by
            customer_id""",
        {"shop.orders"},
        {
            "customer_id": {"shop.orders.customer_id"},
            "last_orders": {"shop.orders.id", "shop.orders.total", "shop.orders.created_at"},
        },
    ),
    Statement(
        "whole row in a struct array",
        "bigquery",
        """select latest.* from (
            select array_agg(t order by t.updated_at desc limit 1)[offset(0)] as latest
            from crm.people t group by t.id)""",
        {"crm.people"},
        {"email": UNKNOWN},
    ),
    Statement(
        "whole row as JSON",
        "bigquery",
        """select t.id, to_json_string(t) as payload from crm.people t""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "payload": UNKNOWN},
    ),
    Statement(
        "whole row of a subquery as JSON",
        "bigquery",
        """with t as (select id, email from crm.people)
        select id, farm_fingerprint(to_json_string(t)) as row_hash from t""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "row_hash": {"crm.people.id", "crm.people.email"}},
    ),
    Statement(
        "any_value with having",
        "bigquery",
        """select id, any_value(email having max updated_at) as email from crm.people group by
            id""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email", "crm.people.updated_at"}},
    ),
    Statement(
        "JSON column",
        "bigquery",
        """select json_value(payload, '$.user.email') as email, payload.user.id as user_id,
            json_extract_scalar(p.payload, "$.plan") as plan, lax_string(p.payload['x']) as x
        from raw.webhooks p""",
        {"raw.webhooks"},
        {
            "email": {"raw.webhooks.payload"},
            "user_id": {"raw.webhooks.payload"},
            "plan": {"raw.webhooks.payload"},
            "x": {"raw.webhooks.payload"},
        },
    ),
    Statement(
        "column of a struct with the name of a table alias",
        "bigquery",
        """select a.email, a.b.c as c from crm.accounts a""",
        {"crm.accounts"},
        {"email": {"crm.accounts.email"}, "c": {"crm.accounts.b"}},
    ),
)

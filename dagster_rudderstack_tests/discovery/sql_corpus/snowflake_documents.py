"""Models of semi-structured columns in Snowflake."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "path of a document",
        "snowflake",
        """select v:user.email::string as email, v:tags[0]::string as tag,
            v['plan']['name'] as plan,
            e.v:a:b as b, v:"first name"::varchar as first_name from raw.events e""",
        {"raw.events"},
        {
            "email": {"raw.events.v"},
            "tag": {"raw.events.v"},
            "plan": {"raw.events.v"},
            "b": {"raw.events.v"},
            "first_name": {"raw.events.v"},
        },
    ),
    Statement(
        "lateral flatten",
        "snowflake",
        """select p.id, f.value:name::string as name, f.index as i, f.key as k
        from raw.people p, lateral flatten(input => p.doc:items, outer => true) f""",
        {"raw.people"},
        {
            "id": {"raw.people.id"},
            "name": {"raw.people.doc"},
            "i": {"raw.people.doc"},
            "k": {"raw.people.doc"},
        },
    ),
    Statement(
        "lateral flatten without aliases",
        "snowflake",
        """select value:sku::string as sku, index from raw.orders,
            lateral flatten(input => items)""",
        {"raw.orders"},
        {"sku": {"raw.orders.items"}, "index": {"raw.orders.items"}},
    ),
    Statement(
        "column without a table next to a flatten",
        "snowflake",
        """select order_id, f.value as item from raw.orders, lateral flatten(items) f""",
        {"raw.orders"},
        {"order_id": {"raw.orders.order_id"}, "item": {"raw.orders.items"}},
    ),
    Statement(
        "table flatten",
        "snowflake",
        """select o.id, t.value::string as tag from raw.orders o,
            table(flatten(input => o.tags, mode => 'ARRAY')) t""",
        {"raw.orders"},
        {"id": {"raw.orders.id"}, "tag": {"raw.orders.tags"}},
    ),
    Statement(
        "flatten in a flatten",
        "snowflake",
        """select o.id, d.value:code::string as code
        from raw.orders o, lateral flatten(input => o.doc:lines) l,
            lateral flatten(input => l.value:discounts) d""",
        {"raw.orders"},
        {"id": {"raw.orders.id"}, "code": {"raw.orders.doc"}},
    ),
    Statement(
        "left join of a flatten",
        "snowflake",
        """select o.id, l.value:sku as sku from raw.orders o
        left join lateral flatten(input => o.lines) as l""",
        {"raw.orders"},
        {"id": {"raw.orders.id"}, "sku": {"raw.orders.lines"}},
    ),
    Statement(
        "flatten of a constant",
        "snowflake",
        """select f.value::int as n from table(flatten(input => parse_json('[1, 2]'))) f""",
        set(),
        {"n": NONE},
    ),
    Statement(
        "flatten of a subquery",
        "snowflake",
        """with src as (select id, parse_json(body) as doc from raw.hooks),
        flat as (select src.id, f.value as item from src, lateral flatten(src.doc:items) f)
        select id, item:sku::string as sku, item:qty::int * 2 as qty from flat""",
        {"raw.hooks"},
        {"id": {"raw.hooks.id"}, "sku": {"raw.hooks.body"}, "qty": {"raw.hooks.body"}},
    ),
    Statement(
        "aggregate of flattened values",
        "snowflake",
        """select o.id, array_agg(distinct l.value:sku::string) within group
            (order by l.value:sku::string) as skus, sum(l.value:qty::int) as qty
        from raw.orders o, lateral flatten(input => o.lines) l group by o.id""",
        {"raw.orders"},
        {"skus": {"raw.orders.lines"}, "qty": {"raw.orders.lines"}},
    ),
    Statement(
        "functions of a document",
        "snowflake",
        """select get_path(doc, 'a.b') as b, get(doc, 'x')::string as x, try_parse_json(txt):y as y,
            parse_json(txt):z::number as z, doc:n::number > 3 as big from raw.events""",
        {"raw.events"},
        {
            "b": {"raw.events.doc"},
            "x": {"raw.events.doc"},
            "y": {"raw.events.txt"},
            "z": {"raw.events.txt"},
            "big": {"raw.events.doc"},
        },
    ),
    Statement(
        "higher-order functions",
        "snowflake",
        """select filter(items, i -> i:price > 10) as dear, transform(items,
            i int -> i + bonus) as more
        from raw.orders""",
        {"raw.orders"},
        {"dear": {"raw.orders.items"}, "more": {"raw.orders.items", "raw.orders.bonus"}},
    ),
    Statement(
        "parameter of a lambda named like a column",
        "snowflake",
        """with o as (select price, items from raw.orders)
        select transform(items, price -> price * 2) as doubled, price from o""",
        {"raw.orders"},
        {"doubled": {"raw.orders.items"}, "price": {"raw.orders.price"}},
    ),
    Statement(
        "lateral subquery",
        "snowflake",
        """select p.id, last_order.total from crm.people p,
            lateral (select o.total from shop.orders o where o.person_id = p.id
                     order by o.at desc limit 1) as last_order""",
        {"crm.people", "shop.orders"},
        {"id": {"crm.people.id"}, "total": {"shop.orders.total"}},
    ),
    Statement(
        "split to table",
        "snowflake",
        """select p.id, s.value as word, s.index as n from crm.people p,
            lateral split_to_table(p.notes, ' ') s""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "word": {"crm.people.notes"}, "n": {"crm.people.notes"}},
    ),
    Statement(
        "generator",
        "snowflake",
        """select dateadd(day, seq4(), '2024-01-01') as day, row_number() over (order by 1) as n
        from table(generator(rowcount => 30))""",
        set(),
        {"day": NONE, "n": NONE},
    ),
    Statement(
        "path after an earlier output of the same name",
        "snowflake",
        """select doc:user as user_doc, user_doc:email::string as email from raw.events""",
        {"raw.events"},
        {"user_doc": {"raw.events.doc"}, "email": UNKNOWN},
    ),
)

"""Models of Trino: arrays, maps, rows, lambdas and hidden columns."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "JSON functions",
        "trino",
        """select json_extract_scalar(body, '$.email') as email, json_value(body,
            'lax $.plan') as plan,
            cast(json_extract(body, '$.tags') as array(varchar))[1] as tag, json_parse(txt) as j
        from hive.raw.hooks""",
        {"hive.raw.hooks"},
        {
            "email": {"hive.raw.hooks.body"},
            "plan": {"hive.raw.hooks.body"},
            "tag": {"hive.raw.hooks.body"},
            "j": {"hive.raw.hooks.txt"},
        },
    ),
    Statement(
        "unnest with ordinality",
        "trino",
        """select u.id, t.tag, t.n from hive.crm.users u
        cross join unnest(u.tags) with ordinality as t(tag, n)""",
        {"hive.crm.users"},
        {"id": {"hive.crm.users.id"}, "tag": {"hive.crm.users.tags"}, "n": {"hive.crm.users.tags"}},
    ),
    Statement(
        "unnest of a map",
        "trino",
        "select id, k, v from hive.crm.users cross join unnest(traits) as t(k, v)",
        {"hive.crm.users"},
        {
            "id": {"hive.crm.users.id"},
            "k": {"hive.crm.users.traits"},
            "v": {"hive.crm.users.traits"},
        },
    ),
    Statement(
        "unnest of an array of rows",
        "trino",
        """select o.id, i.sku, i.qty from hive.shop.orders o
        left join unnest(o.items) as i(sku, qty) on true""",
        {"hive.shop.orders"},
        {
            "id": {"hive.shop.orders.id"},
            "sku": {"hive.shop.orders.items"},
            "qty": {"hive.shop.orders.items"},
        },
    ),
    Statement(
        "unnest of two arrays",
        "trino",
        "select o.id, t.a, t.b from hive.shop.orders o, unnest(o.skus, o.prices) as t(a, b)",
        {"hive.shop.orders"},
        {
            "id": {"hive.shop.orders.id"},
            "a": {"hive.shop.orders.skus"},
            "b": {"hive.shop.orders.prices"},
        },
        {"a": {"hive.shop.orders.prices"}, "b": {"hive.shop.orders.skus"}},
    ),
    Statement(
        "unnest of a constant",
        "trino",
        "select x, u.id from unnest(array[1, 2]) as t(x) cross join hive.crm.users u",
        {"hive.crm.users"},
        {"x": NONE, "id": {"hive.crm.users.id"}},
    ),
    Statement(
        "row fields and map elements",
        "trino",
        """select u.address.city as city, address.zip as zip, traits['lang'] as lang,
            element_at(traits, 'plan') as plan, emails[1].value as email from hive.crm.users u""",
        {"hive.crm.users"},
        {
            "city": {"hive.crm.users.address"},
            "zip": {"hive.crm.users.address"},
            "lang": {"hive.crm.users.traits"},
            "plan": {"hive.crm.users.traits"},
            "email": {"hive.crm.users.emails"},
        },
    ),
    Statement(
        "lambdas",
        "trino",
        """select transform(prices, p -> p * rate) as converted, any_match(tags,
            t -> t = 'vip') as vip,
            reduce(prices, 0, (s, x) -> s + x, s -> s) as total, map_filter(m, (k,
            v) -> v > 1) as big
        from hive.shop.orders""",
        {"hive.shop.orders"},
        {
            "converted": {"hive.shop.orders.prices", "hive.shop.orders.rate"},
            "vip": {"hive.shop.orders.tags"},
            "total": {"hive.shop.orders.prices"},
            "big": {"hive.shop.orders.m"},
        },
    ),
    Statement(
        "parameter of a lambda named like a column",
        "trino",
        "select transform(prices, price -> price + 1) as more, price from hive.shop.orders",
        {"hive.shop.orders"},
        {"more": {"hive.shop.orders.prices"}, "price": {"hive.shop.orders.price"}},
    ),
    Statement(
        "dates",
        "trino",
        """select date_diff('day', created, current_date) as age, date_add('month', n,
            created) as due,
            extract(dow from created) as dow, date_trunc('week', created) as w,
            at at time zone 'UTC' as utc, current_timestamp as ts, localtimestamp as l,
            created + interval '1' day as next_day, from_unixtime(epoch) as t
        from hive.crm.users""",
        {"hive.crm.users"},
        {
            "age": {"hive.crm.users.created"},
            "due": {"hive.crm.users.n", "hive.crm.users.created"},
            "dow": {"hive.crm.users.created"},
            "w": {"hive.crm.users.created"},
            "utc": {"hive.crm.users.at"},
            "ts": NONE,
            "l": NONE,
            "next_day": {"hive.crm.users.created"},
            "t": {"hive.crm.users.epoch"},
        },
    ),
    Statement(
        "columns and functions of the session",
        "trino",
        """select user, session_user, current_user as c, current_catalog as cat,
            date from hive.crm.users""",
        {"hive.crm.users"},
        {
            "user": {"hive.crm.users.user"},
            "session_user": {"hive.crm.users.session_user"},
            "c": NONE,
            "cat": NONE,
            "date": {"hive.crm.users.date"},
        },
    ),
    Statement(
        "hidden columns and tables",
        "trino",
        """select u.id, u."$path" as file, p.record_count as n from hive.crm.users u
        cross join iceberg.crm."users$partitions" p""",
        {"hive.crm.users", "iceberg.crm.users$partitions"},
        {
            "id": {"hive.crm.users.id"},
            "file": {"hive.crm.users.$path"},
            "n": {"iceberg.crm.users$partitions.record_count"},
        },
    ),
    Statement(
        "time travel",
        "trino",
        """select a.id, b.email from iceberg.crm.users for version as of 8954597067493422955 a
        join iceberg.crm.mails for timestamp as of timestamp '2024-01-01 00:00:00' as b on a.id
            = b.id""",
        {"iceberg.crm.users", "iceberg.crm.mails"},
        {"id": {"iceberg.crm.users.id"}, "email": {"iceberg.crm.mails.email"}},
    ),
    Statement(
        "ordered aggregates",
        "trino",
        """select user_id, listagg(sku, ', ') within group (order by at) as skus,
            array_agg(total order by at desc) filter (where total > 0) as totals,
            max_by(plan, at) as last_plan, approx_distinct(sku) as n, map_agg(k, v) as m
        from hive.shop.orders group by grouping sets ((user_id), ())""",
        {"hive.shop.orders"},
        {
            "skus": {"hive.shop.orders.sku", "hive.shop.orders.at"},
            "totals": {"hive.shop.orders.total", "hive.shop.orders.at"},
            "last_plan": {"hive.shop.orders.plan", "hive.shop.orders.at"},
            "n": {"hive.shop.orders.sku"},
            "m": {"hive.shop.orders.k", "hive.shop.orders.v"},
        },
    ),
    Statement(
        "match_recognize",
        "trino",
        """select user_id, first_at, clicks from hive.web.hits match_recognize (
            partition by user_id order by at
            measures first(a.at) as first_at, count(b.at) as clicks
            one row per match pattern (a b+) define b as b.page = 'x') as m""",
        {"hive.web.hits"},
        {
            "user_id": {"hive.web.hits.user_id"},
            "first_at": {"hive.web.hits.at"},
            "clicks": {"hive.web.hits.at"},
        },
        {
            "first_at": {"hive.web.hits.user_id", "hive.web.hits.page"},
            "clicks": {"hive.web.hits.user_id", "hive.web.hits.page"},
        },
    ),
    Statement(
        "query of another system",
        "trino",
        "select id, email from table(pg.system.query(query => 'select id, email from u'))",
        set(),
        {"id": NONE, "email": NONE},
    ),
    Statement(
        "values and a sequence",
        "trino",
        """select d, m.label from unnest(sequence(date '2024-01-01', date '2024-02-01')) as t(d)
        cross join (values ('a'), ('b')) as m(label)""",
        set(),
        {"d": NONE, "label": NONE},
    ),
    Statement(
        "rows and try",
        "trino",
        """select try(cast(age as integer)) as age, cast(row(id, email) as row(a bigint,
            b varchar)) as r,
            coalesce(try_cast(n as double), 0) as n, if(a > 1, b, c) as x, map(array['k'],
            array[v]) as m
        from hive.crm.users""",
        {"hive.crm.users"},
        {
            "age": {"hive.crm.users.age"},
            "r": {"hive.crm.users.id", "hive.crm.users.email"},
            "n": {"hive.crm.users.n"},
            "x": {"hive.crm.users.a", "hive.crm.users.b", "hive.crm.users.c"},
            "m": {"hive.crm.users.v"},
        },
    ),
    Statement(
        "column of a join with using",
        "trino",
        "select id, a.plan from hive.crm.a join hive.crm.b using (id)",
        {"hive.crm.a", "hive.crm.b"},
        {"id": {"hive.crm.a.id"}, "plan": {"hive.crm.a.plan"}},
        {"id": {"hive.crm.b.id"}},
    ),
    Statement(
        "unnest in a scalar subquery",
        "trino",
        "select u.id, (select max(t.x) from unnest(u.scores) as t(x)) as top from hive.crm.users u",
        {"hive.crm.users"},
        {"id": {"hive.crm.users.id"}, "top": {"hive.crm.users.scores"}},
    ),
    Statement(
        "an output cannot refer to another one",
        "trino",
        "select a + 1 as b, b as c from hive.crm.t",
        {"hive.crm.t"},
        {"b": {"hive.crm.t.a"}, "c": {"hive.crm.t.b"}},
    ),
    Statement(
        "whole row by an alias is a column",
        "trino",
        "select u.id, json_format(cast(u as json)) as j from hive.crm.users u",
        {"hive.crm.users"},
        {"id": {"hive.crm.users.id"}, "j": UNKNOWN},
        {"j": {"hive.crm.users.u"}},
    ),
)

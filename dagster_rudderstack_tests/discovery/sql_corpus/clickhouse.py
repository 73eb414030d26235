"""Models of ClickHouse: array joins, tuples, outputs that refer to others, and table functions."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "array join with an alias",
        "clickhouse",
        "select id, tag from crm.users array join tags as tag",
        {"crm.users"},
        {"id": {"crm.users.id"}, "tag": {"crm.users.tags"}},
    ),
    Statement(
        "array join without an alias",
        "clickhouse",
        "select id, tags from crm.users left array join tags",
        {"crm.users"},
        {"id": {"crm.users.id"}, "tags": {"crm.users.tags"}},
    ),
    Statement(
        "array join of two arrays",
        "clickhouse",
        """select u.id, k, v, n from crm.users as u
        array join keys as k, vals as v, arrayEnumerate(keys) as n""",
        {"crm.users"},
        {
            "id": {"crm.users.id"},
            "k": {"crm.users.keys"},
            "v": {"crm.users.vals"},
            "n": {"crm.users.keys"},
        },
    ),
    Statement(
        "arrayJoin in the outputs",
        "clickhouse",
        "select id, arrayJoin(tags) as tag from crm.users",
        {"crm.users"},
        {"id": {"crm.users.id"}, "tag": {"crm.users.tags"}},
    ),
    Statement(
        "lambdas",
        "clickhouse",
        """select arrayMap(x -> x * rate, prices) as converted, arrayFilter((p, q) -> q > 1,
            prices, qtys)
            as some, arraySum(x -> x.2, pairs) as total, arrayExists(t -> t = 'vip', tags) as is_vip
        from shop.orders""",
        {"shop.orders"},
        {
            "converted": {"shop.orders.prices", "shop.orders.rate"},
            "some": {"shop.orders.prices", "shop.orders.qtys"},
            "total": {"shop.orders.pairs"},
            "is_vip": {"shop.orders.tags"},
        },
    ),
    Statement(
        "parameter of a lambda named like a column",
        "clickhouse",
        "select arrayMap(price -> price + 1, prices) as more from shop.orders",
        {"shop.orders"},
        {"more": {"shop.orders.prices"}},
    ),
    Statement(
        "tuples",
        "clickhouse",
        """select pair.1 as a, tupleElement(pair, 2) as b, tuple(x, y) as c, (x, z) as d,
            pairs[1].2 as e
        from crm.users""",
        {"crm.users"},
        {
            "a": {"crm.users.pair"},
            "b": {"crm.users.pair"},
            "c": {"crm.users.x", "crm.users.y"},
            "d": {"crm.users.x", "crm.users.z"},
            "e": {"crm.users.pairs"},
        },
    ),
    Statement(
        "final, sample and prewhere",
        "clickhouse",
        """select u.id, u.email from crm.users as u final sample 1 / 10 prewhere u.active = 1
        where u.id > 0 settings max_threads = 2""",
        {"crm.users"},
        {"id": {"crm.users.id"}, "email": {"crm.users.email"}},
    ),
    Statement(
        "limit by",
        "clickhouse",
        "select id, email from crm.users order by updated_at desc limit 1 by id limit 100",
        {"crm.users"},
        {"id": {"crm.users.id"}, "email": {"crm.users.email"}},
    ),
    Statement(
        "output that refers to an earlier one",
        "clickhouse",
        "select price * qty as net, net * 1.2 as gross from shop.lines",
        {"shop.lines"},
        {
            "net": {"shop.lines.price", "shop.lines.qty"},
            "gross": {"shop.lines.price", "shop.lines.qty"},
        },
    ),
    Statement(
        "output that refers to a later one",
        "clickhouse",
        "select net * 1.2 as gross, price * qty as net from shop.lines",
        {"shop.lines"},
        {
            "net": {"shop.lines.price", "shop.lines.qty"},
            "gross": {"shop.lines.price", "shop.lines.qty"},
        },
    ),
    Statement(
        "alias inside an expression",
        "clickhouse",
        "select (toDate(at) as day) + 1 as next_day, day from web.hits",
        {"web.hits"},
        {"next_day": {"web.hits.at"}, "day": {"web.hits.at"}},
    ),
    Statement(
        "constant by with",
        "clickhouse",
        "with 7 as days, 'x' as tag select id, addDays(at, days) as due, tag as t from crm.users",
        {"crm.users"},
        {"id": {"crm.users.id"}, "due": {"crm.users.at"}, "t": NONE},
    ),
    Statement(
        "expression by with",
        "clickhouse",
        "with lower(email) as mail select id, concat(mail, '!') as loud from crm.users",
        {"crm.users"},
        {"id": {"crm.users.id"}, "loud": {"crm.users.email"}},
    ),
    Statement(
        "scalar subquery by with",
        "clickhouse",
        """with (select max(o.total) from shop.orders o) as top
        select u.id, u.total / top as share from crm.users u""",
        {"shop.orders", "crm.users"},
        {"id": {"crm.users.id"}, "share": {"crm.users.total", "shop.orders.total"}},
    ),
    Statement(
        "combinators of aggregates",
        "clickhouse",
        """select user_id, sumIf(total, status = 'paid') as paid, argMax(plan, at) as last_plan,
            countIf(refunded) as refunds, quantile(0.9)(total) as p90, groupArray(10)(sku) as skus,
            uniqExact(sku, day) as n, count() as rows
        from shop.orders group by user_id with totals""",
        {"shop.orders"},
        {
            "paid": {"shop.orders.total", "shop.orders.status"},
            "last_plan": {"shop.orders.plan", "shop.orders.at"},
            "refunds": {"shop.orders.refunded"},
            "p90": {"shop.orders.total"},
            "skus": {"shop.orders.sku"},
            "n": {"shop.orders.sku", "shop.orders.day"},
            "rows": NONE,
        },
    ),
    Statement(
        "JSON functions",
        "clickhouse",
        """select JSONExtractString(body, 'user', 'email') as email, visitParamExtractString(p,
            'x') as x,
            JSON_VALUE(body, '$.plan') as plan, simpleJSONExtractInt(body,
            'n') as n from raw.hooks""",
        {"raw.hooks"},
        {
            "email": {"raw.hooks.body"},
            "x": {"raw.hooks.p"},
            "plan": {"raw.hooks.body"},
            "n": {"raw.hooks.body"},
        },
    ),
    Statement(
        "dictionary",
        "clickhouse",
        "select id, dictGet('crm.plans', 'name', plan_id) as plan_name from crm.users",
        {"crm.users"},
        {"id": {"crm.users.id"}, "plan_name": {"crm.users.plan_id"}},
    ),
    Statement(
        "dates",
        "clickhouse",
        """select toStartOfMonth(at) as m, dateDiff('day', created, now()) as age, today() as d,
            at + interval 1 day as later, date_trunc('week', at) as w, toYYYYMM(at) as ym,
            toDateTime(at, 'UTC') as utc, formatDateTime(at, '%F') as f
        from web.hits""",
        {"web.hits"},
        {
            "m": {"web.hits.at"},
            "age": {"web.hits.created"},
            "d": NONE,
            "later": {"web.hits.at"},
            "w": {"web.hits.at"},
            "ym": {"web.hits.at"},
            "utc": {"web.hits.at"},
            "f": {"web.hits.at"},
        },
    ),
    Statement(
        "star except, replace and apply",
        "clickhouse",
        """select * except (ssn, pin) from (select * replace (lower(email) as email) from
            crm.users)""",
        {"crm.users"},
        {"email": {"crm.users.email"}, "ssn": NONE, "id": {"crm.users.id"}},
    ),
    Statement(
        "columns by a pattern",
        "clickhouse",
        "select id, columns('_at$') from crm.users",
        {"crm.users"},
        {"id": {"crm.users.id"}, "email": NONE, "created_at": UNKNOWN},
        {"created_at": {"crm.users.created_at"}},
    ),
    Statement(
        "table of another server, which is not a table of this one",
        "clickhouse",
        "select r.id, r.email from remote('other:9000', crm.users) as r",
        set(),
        {"id": NONE, "email": NONE},
    ),
    Statement(
        "table of all servers of a cluster",
        "clickhouse",
        "select c.id, c.email from cluster('main', crm.users) as c",
        {"crm.users"},
        {"id": {"crm.users.id"}, "email": {"crm.users.email"}},
    ),
    Statement(
        "output that hides a column",
        "clickhouse",
        """with o as (select id, amount from shop.orders) select id as amount,
            amount + 1 as n from o""",
        {"shop.orders"},
        {"amount": {"shop.orders.id"}, "n": {"shop.orders.id"}},
    ),
    Statement(
        "numbers and files",
        "clickhouse",
        """select n.number as n, f.id as id from numbers(10) as n
        cross join s3('https://x/y.csv', 'CSV') as f""",
        set(),
        {"n": NONE, "id": NONE},
    ),
    Statement(
        "joins",
        "clickhouse",
        """select u.id, q.price, g.name from crm.users u asof left join crm.quotes q
            on q.symbol = u.symbol and u.at >= q.at
        any left join crm.groups g on g.id = u.group_id
        where u.id global in (select user_id from crm.vips)""",
        {"crm.users", "crm.quotes", "crm.groups", "crm.vips"},
        {"id": {"crm.users.id"}, "price": {"crm.quotes.price"}, "name": {"crm.groups.name"}},
    ),
    Statement(
        "quoted names of both kinds",
        "clickhouse",
        """select "order" as a, `user` as b, t."date" as c from crm."group" as t format JSON""",
        {"crm.group"},
        {"a": {"crm.group.order"}, "b": {"crm.group.user"}, "c": {"crm.group.date"}},
    ),
    Statement(
        "conditions and conversions",
        "clickhouse",
        """select if(a > 1, b, c) as x, multiIf(d = 1, 'one', e, 'two', f) as y,
            toInt64OrNull(g) as g,
            h::Nullable(String) as h, a ? b : c as t, cast(i, 'String') as i, j in (1, 2) as k
        from crm.users""",
        {"crm.users"},
        {
            "x": {"crm.users.a", "crm.users.b", "crm.users.c"},
            "y": {"crm.users.d", "crm.users.e", "crm.users.f"},
            "g": {"crm.users.g"},
            "h": {"crm.users.h"},
            "t": {"crm.users.a", "crm.users.b", "crm.users.c"},
            "i": {"crm.users.i"},
            "k": {"crm.users.j"},
        },
    ),
    Statement(
        "map elements",
        "clickhouse",
        "select id, props['plan'] as plan, mapKeys(props) as keys from crm.users",
        {"crm.users"},
        {"plan": {"crm.users.props"}, "keys": {"crm.users.props"}},
    ),
)

"""Models of MySQL: its quotes, functions, documents and variables."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "backticks and double quotes",
        "mysql",
        """select `order` as order_no, `user` as u, "email" as kind, `first name` as `First Name`
        from `crm`.`group`""",
        {"crm.group"},
        {
            "order_no": {"crm.group.order"},
            "u": {"crm.group.user"},
            "kind": NONE,
            "First Name": {"crm.group.first name"},
        },
    ),
    Statement(
        "document functions",
        "mysql",
        """select json_extract(doc, '$.a') as a, doc->'$.b' as b, doc->>'$.c' as c,
            json_unquote(json_extract(u.doc, '$.d')) as d, json_value(doc,
            '$.e' returning signed) as e,
            json_object('id', id, 'mail', email) as obj, json_arrayagg(tag) as tags
        from app.users u""",
        {"app.users"},
        {
            "a": {"app.users.doc"},
            "b": {"app.users.doc"},
            "c": {"app.users.doc"},
            "d": {"app.users.doc"},
            "e": {"app.users.doc"},
            "obj": {"app.users.id", "app.users.email"},
            "tags": {"app.users.tag"},
        },
    ),
    Statement(
        "json_table",
        "mysql",
        """select o.id, j.sku, j.n from shop.orders o, json_table(o.items, '$[*]' columns (
            n for ordinality, sku varchar(40) path '$.sku', qty int path '$.qty')) as j""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "n": {"shop.orders.items"}},
    ),
    Statement(
        "functions without parentheses",
        "mysql",
        """select id, current_date as d, current_timestamp as ts, localtime as l,
            localtimestamp as lt,
            utc_timestamp as u, utc_date as ud, current_user as c from app.users""",
        {"app.users"},
        {"d": NONE, "ts": NONE, "l": NONE, "lt": NONE, "u": NONE, "ud": NONE, "c": NONE},
    ),
    Statement(
        "columns named like functions",
        "mysql",
        "select user, date, month, sysdate, day, year, now, count from app.stats",
        {"app.stats"},
        {
            "user": {"app.stats.user"},
            "date": {"app.stats.date"},
            "month": {"app.stats.month"},
            "sysdate": {"app.stats.sysdate"},
            "day": {"app.stats.day"},
            "year": {"app.stats.year"},
            "now": {"app.stats.now"},
            "count": {"app.stats.count"},
        },
    ),
    Statement(
        "dates",
        "mysql",
        """select timestampdiff(month, born, curdate()) as months,
            extract(year_month from at) as ym,
            date_add(at, interval 3 day) as later, at - interval days day as earlier,
            date_format(at, '%Y-%m') as label, datediff(now(), at) as age, dayofweek(at) as dow,
            timestampadd(week, n, at) as due, convert_tz(at, '+00:00', tz) as local_at
        from app.users""",
        {"app.users"},
        {
            "months": {"app.users.born"},
            "ym": {"app.users.at"},
            "later": {"app.users.at"},
            "earlier": {"app.users.at", "app.users.days"},
            "label": {"app.users.at"},
            "age": {"app.users.at"},
            "dow": {"app.users.at"},
            "due": {"app.users.n", "app.users.at"},
            "local_at": {"app.users.at", "app.users.tz"},
        },
    ),
    Statement(
        "group_concat",
        "mysql",
        """select user_id, group_concat(distinct sku order by at desc separator '; ') as skus,
            sum(status = 'paid') as paid, if(max(total) > 9, 'big', 'small') as size
        from shop.orders group by user_id with rollup""",
        {"shop.orders"},
        {
            "skus": {"shop.orders.sku", "shop.orders.at"},
            "paid": {"shop.orders.status"},
            "size": {"shop.orders.total"},
        },
    ),
    Statement(
        "user variables",
        "mysql",
        "select id, @n := @n + 1 as n, @@version as v from app.users, (select @n := 0) as init",
        {"app.users"},
        {"n": NONE, "v": NONE, "id": {"app.users.id"}},
    ),
    Statement(
        "an output cannot refer to another one",
        "mysql",
        "select a + 1 as b, b + 1 as c from app.t",
        {"app.t"},
        {"b": {"app.t.a"}, "c": {"app.t.b"}},
    ),
    Statement(
        "dual",
        "mysql",
        "select 1 as one, now() as ts from dual",
        set(),
        {"one": NONE, "ts": NONE},
    ),
    Statement(
        "comments and hints",
        "mysql",
        """select /*+ max_execution_time(1000) */ u.id, u.email # the address
        from app.users u use index (primary) -- users
        where u.id > 0;""",
        {"app.users"},
        {"id": {"app.users.id"}, "email": {"app.users.email"}},
    ),
    Statement(
        "functions of text",
        "mysql",
        """select concat_ws(' ', first, last) as name, trim(both 'x' from a) as a,
            substring(b from 2 for 3) as b, convert(c using utf8mb4) as c, binary d as d,
            cast(e as char character set utf8mb4) as e, f collate utf8mb4_bin as f,
            position('x' in g) as g, field(h, 'a', 'b') as h, _utf8mb4'text' as t
        from app.users""",
        {"app.users"},
        {
            "name": {"app.users.first", "app.users.last"},
            "a": {"app.users.a"},
            "b": {"app.users.b"},
            "c": {"app.users.c"},
            "d": {"app.users.d"},
            "e": {"app.users.e"},
            "f": {"app.users.f"},
            "g": {"app.users.g"},
            "h": {"app.users.h"},
            "t": NONE,
        },
    ),
    Statement(
        "join of two databases",
        "mysql",
        """select straight_join u.id, o.total from app.users u
        left join shop.orders o on o.user_id = u.id order by u.id limit 5, 10""",
        {"app.users", "shop.orders"},
        {"id": {"app.users.id"}, "total": {"shop.orders.total"}},
    ),
    Statement(
        "partition of a table",
        "mysql",
        "select id from app.events partition (p2024) as e where e.id > 0",
        {"app.events"},
        {"id": {"app.events.id"}},
    ),
    Statement(
        "condition with a text in double quotes",
        "mysql",
        """select case when plan = "pro" then "paid" else "free" end as tier from app.users""",
        {"app.users"},
        {"tier": {"app.users.plan"}},
    ),
    Statement(
        "window functions",
        "mysql",
        """select id, first_value(plan) over w as first_plan, ntile(4) over (order by total) as q
        from app.subs window w as (partition by user_id order by at)""",
        {"app.subs"},
        {
            "first_plan": {"app.subs.plan", "app.subs.user_id", "app.subs.at"},
            "q": {"app.subs.total"},
        },
    ),
    Statement(
        "full text score",
        "mysql",
        "select id, match (title, body) against ('x' in boolean mode) as score from app.posts",
        {"app.posts"},
        {"id": {"app.posts.id"}, "score": {"app.posts.title", "app.posts.body"}},
    ),
    Statement(
        "unqualified column of a join",
        "mysql",
        "select email, o.total from app.users u join shop.orders o on o.user_id = u.id",
        {"app.users", "shop.orders"},
        {"email": UNKNOWN, "total": {"shop.orders.total"}},
    ),
)

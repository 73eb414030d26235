"""Models of Databricks: nested columns, generators, lambdas and time travel."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "path of a JSON column",
        "databricks",
        """select body:user.email::string as email, body:items[0].sku as sku, h.body:['a key'] as k,
            body:tags[*] as tags from raw.hooks h""",
        {"raw.hooks"},
        {
            "email": {"raw.hooks.body"},
            "sku": {"raw.hooks.body"},
            "k": {"raw.hooks.body"},
            "tags": {"raw.hooks.body"},
        },
    ),
    Statement(
        "struct fields",
        "databricks",
        """select address.city as city, u.address.zip, u.emails[0].value as email,
            prefs['lang'] as lang
        from main.crm.users u""",
        {"main.crm.users"},
        {
            "city": {"main.crm.users.address"},
            "zip": {"main.crm.users.address"},
            "email": {"main.crm.users.emails"},
            "lang": {"main.crm.users.prefs"},
        },
    ),
    Statement(
        "lateral view explode",
        "databricks",
        """select u.id, t.tag, upper(tag) as loud from crm.users u lateral view explode(u.tags)
            t as tag""",
        {"crm.users"},
        {"id": {"crm.users.id"}, "tag": {"crm.users.tags"}, "loud": {"crm.users.tags"}},
    ),
    Statement(
        "lateral view outer posexplode",
        "databricks",
        """select id, pos, item.sku as sku from shop.orders
        lateral view outer posexplode(items) as pos, item""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "pos": {"shop.orders.items"}, "sku": {"shop.orders.items"}},
    ),
    Statement(
        "two lateral views",
        "databricks",
        """select o.id, d.code from shop.orders o lateral view explode(o.items) a as item
        lateral view explode(item.discounts) b as d""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "code": {"shop.orders.items"}},
    ),
    Statement(
        "explode of a map",
        "databricks",
        """select id, k, v from crm.users lateral view explode(traits) t as k, v""",
        {"crm.users"},
        {"k": {"crm.users.traits"}, "v": {"crm.users.traits"}},
    ),
    Statement(
        "explode in the outputs",
        "databricks",
        "select id, explode(tags) as tag from crm.users",
        {"crm.users"},
        {"id": {"crm.users.id"}, "tag": {"crm.users.tags"}},
    ),
    Statement(
        "explode of a map in the outputs",
        "databricks",
        "select id, explode(traits) as (trait, trait_value) from crm.users",
        {"crm.users"},
        {
            "id": {"crm.users.id"},
            "trait": {"crm.users.traits"},
            "trait_value": {"crm.users.traits"},
        },
    ),
    Statement(
        "lateral join of a generator",
        "databricks",
        "select u.id, t.col as tag from crm.users u, lateral explode(u.tags) as t",
        {"crm.users"},
        {"id": {"crm.users.id"}, "tag": {"crm.users.tags"}},
    ),
    Statement(
        "inline of an array of structs",
        "databricks",
        """select o.id, i.sku, i.qty from shop.orders o lateral view inline(o.items) i as sku,
            qty""",
        {"shop.orders"},
        {"sku": {"shop.orders.items"}, "qty": {"shop.orders.items"}},
    ),
    Statement(
        "stack",
        "databricks",
        """select id, stack(2, 'home', home_phone, 'work', work_phone) as (kind, phone)
        from crm.users""",
        {"crm.users"},
        {
            "id": {"crm.users.id"},
            "kind": UNKNOWN,
            "phone": {"crm.users.home_phone", "crm.users.work_phone"},
        },
        {"kind": {"crm.users.home_phone", "crm.users.work_phone"}},
    ),
    Statement(
        "lambdas",
        "databricks",
        """select transform(prices, p -> p * rate) as converted, filter(items, (x,
            i) -> i > 0) as rest,
            aggregate(prices, 0, (acc, p) -> acc + p, acc -> acc / 100) as total,
            exists(tags, t -> t = 'vip') as is_vip, zip_with(a, b, (x, y) -> x + y) as sums
        from shop.orders""",
        {"shop.orders"},
        {
            "converted": {"shop.orders.prices", "shop.orders.rate"},
            "rest": {"shop.orders.items"},
            "total": {"shop.orders.prices"},
            "is_vip": {"shop.orders.tags"},
            "sums": {"shop.orders.a", "shop.orders.b"},
        },
    ),
    Statement(
        "parameter of a lambda named like a column",
        "databricks",
        """with o as (select price, items from shop.orders)
        select transform(items, price -> price.amount) as amounts from o""",
        {"shop.orders"},
        {"amounts": {"shop.orders.items"}},
    ),
    Statement(
        "whole row as a struct",
        "databricks",
        """select id, struct(*) as s, to_json(struct(u.*)) as j, named_struct('a', a, 'b', b) as n,
            map('k', v) as m, xxhash64(*) as h from crm.users u""",
        {"crm.users"},
        {
            "id": {"crm.users.id"},
            "s": UNKNOWN,
            "j": UNKNOWN,
            "n": {"crm.users.a", "crm.users.b"},
            "m": {"crm.users.v"},
            "h": UNKNOWN,
        },
    ),
    Statement(
        "parsed JSON",
        "databricks",
        """select from_json(body, 'email STRING, age INT').email as email,
            get_json_object(body, '$.a') as a,
            j.plan as plan from (select body, from_json(extra,
            'plan STRING') as j from raw.hooks)""",
        {"raw.hooks"},
        {"email": {"raw.hooks.body"}, "a": {"raw.hooks.body"}, "plan": {"raw.hooks.extra"}},
    ),
    Statement(
        "time travel",
        "databricks",
        """select u.id, o.total from crm.users version as of 12 u
        join shop.orders timestamp as of '2024-01-01' o on o.user_id = u.id""",
        {"crm.users", "shop.orders"},
        {"id": {"crm.users.id"}, "total": {"shop.orders.total"}},
    ),
    Statement(
        "date parts as bare words",
        "databricks",
        """select datediff(day, created, current_date()) as age, dateadd(month, 1, created) as due,
            timestampdiff(HOUR, a, b) as hours, date_trunc('MONTH', created) as m,
            extract(year from born) as y, current_date as today, datediff(b, a) as days
        from crm.users""",
        {"crm.users"},
        {
            "age": {"crm.users.created"},
            "due": {"crm.users.created"},
            "hours": {"crm.users.a", "crm.users.b"},
            "m": {"crm.users.created"},
            "y": {"crm.users.born"},
            "today": NONE,
            "days": {"crm.users.a", "crm.users.b"},
        },
    ),
    Statement(
        "double quotes are text",
        "databricks",
        'select id, "email" as kind, `e-mail` as email from crm.users',
        {"crm.users"},
        {"id": {"crm.users.id"}, "kind": NONE, "email": {"crm.users.e-mail"}},
    ),
    Statement(
        "output that refers to an earlier one, or to a column",
        "databricks",
        "select price * qty as net, net * 1.2 as gross from shop.lines",
        {"shop.lines"},
        {"net": {"shop.lines.price", "shop.lines.qty"}, "gross": UNKNOWN},
    ),
    Statement(
        "star except, and qualify",
        "databricks",
        """select * except (ssn) from crm.users
        qualify row_number() over (partition by email order by at desc) = 1""",
        {"crm.users"},
        {"id": {"crm.users.id"}, "ssn": NONE},
    ),
    Statement(
        "unpivot",
        "databricks",
        """select id, quarter, sales from shop.targets
        unpivot (sales for quarter in (q1 as `Q1`, q2 as `Q2`))""",
        {"shop.targets"},
        {
            "id": {"shop.targets.id"},
            "sales": {"shop.targets.q1", "shop.targets.q2"},
            "quarter": NONE,
        },
        {"quarter": {"shop.targets.q1", "shop.targets.q2"}},
    ),
    Statement(
        "files as a table",
        "databricks",
        "select id, _metadata.file_name as f from read_files('/mnt/x', format => 'json')",
        set(),
        {"id": NONE, "f": NONE},
    ),
    Statement(
        "table by identifier",
        "databricks",
        "select id from identifier('main.crm.users')",
        {"main.crm.users"},
        {"id": {"main.crm.users.id"}},
    ),
    Statement(
        "values with columns",
        "databricks",
        """select u.id, m.label from crm.users u
        join values (1, 'gold'), (2, 'silver') as m(tier, label) on m.tier = u.tier""",
        {"crm.users"},
        {"id": {"crm.users.id"}, "label": NONE},
    ),
    Statement(
        "lateral subquery",
        "databricks",
        """select u.id, l.top from crm.users u
        left join lateral (select max(o.total) as top from shop.orders o where o.user_id =
            u.id) l""",
        {"crm.users", "shop.orders"},
        {"id": {"crm.users.id"}, "top": {"shop.orders.total"}},
    ),
)

"""Models of Redshift: SUPER columns, outputs that refer to others, and its functions."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "array of a SUPER column by comma",
        "redshift",
        "select o.id, i.sku, i.price * i.qty as amount from shop.orders o, o.items i",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "amount": {"shop.orders.items"}},
    ),
    Statement(
        "array of a SUPER column by left join",
        "redshift",
        "select o.id, i.sku from shop.orders o left join o.items i on true",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}},
    ),
    Statement(
        "array of a SUPER column with its index",
        "redshift",
        "select o.id, i.sku, n from shop.orders as o, o.items as i at n",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "n": {"shop.orders.items"}},
    ),
    Statement(
        "nested arrays of a SUPER column",
        "redshift",
        "select o.id, d.code from shop.orders o, o.doc.items i, i.discounts d",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "code": {"shop.orders.doc"}},
    ),
    Statement(
        "array of a SUPER column of a common table expression",
        "redshift",
        """with src as (select id, json_parse(body) as doc from raw.hooks)
        select src.id, e.email::varchar as email from src, src.doc.emails e""",
        {"raw.hooks"},
        {"id": {"raw.hooks.id"}, "email": {"raw.hooks.body"}},
    ),
    Statement(
        "keys and values of a SUPER column",
        "redshift",
        "select u.id, v, k from app.users u, unpivot u.traits as v at k",
        {"app.users"},
        {"id": {"app.users.id"}, "v": {"app.users.traits"}, "k": {"app.users.traits"}},
    ),
    Statement(
        "path of a SUPER column",
        "redshift",
        """select o.doc.links[0].url as url, o.doc.customer.email::varchar as email,
            doc.plan.name as plan,
            items[0] as first_item from shop.orders o""",
        {"shop.orders"},
        {
            "url": {"shop.orders.doc"},
            "email": {"shop.orders.doc"},
            "plan": {"shop.orders.doc"},
            "first_item": {"shop.orders.items"},
        },
    ),
    Statement(
        "column without a table next to an array of a SUPER column",
        "redshift",
        "select email, i.sku from shop.orders o, o.items i",
        {"shop.orders"},
        {"sku": {"shop.orders.items"}, "email": UNKNOWN},
        {"email": {"shop.orders.email"}},
    ),
    Statement(
        "JSON text functions",
        "redshift",
        """select json_extract_path_text(body, 'user', 'email') as email,
            json_extract_array_element_text(tags, 0) as tag,
            is_valid_json(body) as ok from raw.hooks""",
        {"raw.hooks"},
        {"email": {"raw.hooks.body"}, "tag": {"raw.hooks.tags"}, "ok": {"raw.hooks.body"}},
    ),
    Statement(
        "date parts as bare words",
        "redshift",
        """select datediff(day, created_at, sysdate) as age, dateadd(month, n, created_at) as due,
            date_part(dow, created_at) as dow, date_trunc('month', created_at) as m,
            extract(epoch from seen_at) as secs, datediff('hour', a, b) as hours
        from crm.people""",
        {"crm.people"},
        {
            "age": {"crm.people.created_at"},
            "due": {"crm.people.n", "crm.people.created_at"},
            "dow": {"crm.people.created_at"},
            "m": {"crm.people.created_at"},
            "secs": {"crm.people.seen_at"},
            "hours": {"crm.people.a", "crm.people.b"},
        },
    ),
    Statement(
        "functions without parentheses",
        "redshift",
        """select id, getdate() as now, sysdate as s, current_user as u, user as us,
            current_date as d from crm.people""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "now": NONE, "s": NONE, "u": NONE, "us": NONE, "d": NONE},
    ),
    Statement(
        "output that refers to an earlier one, or to a column",
        "redshift",
        "select first || ' ' || last as full_name, upper(full_name) as loud from crm.people",
        {"crm.people"},
        {"full_name": {"crm.people.first", "crm.people.last"}, "loud": UNKNOWN},
    ),
    Statement(
        "earlier output of listed columns",
        "redshift",
        """select n, n * 2 as twice, twice + 1 as more from (select count(*) as n from
            crm.people) t""",
        {"crm.people"},
        {"n": NONE, "twice": NONE, "more": NONE},
    ),
    Statement(
        "top, listagg and ratio",
        "redshift",
        """select top 10 person_id, listagg(sku, ',') within group (order by at) as skus,
            ratio_to_report(sum(total)) over (partition by region) as share, nvl(max(a),
            max(b)) as best,
            decode(min(status), 'x', 'closed', 'open') as state
        from shop.orders group by person_id, region""",
        {"shop.orders"},
        {
            "skus": {"shop.orders.sku", "shop.orders.at"},
            "share": {"shop.orders.total", "shop.orders.region"},
            "best": {"shop.orders.a", "shop.orders.b"},
            "state": {"shop.orders.status"},
        },
    ),
    Statement(
        "other database",
        "redshift",
        'select p.id, p."Email" as mail from prod.crm."People" p',
        {"prod.crm.People"},
        {"id": {"prod.crm.People.id"}, "mail": {"prod.crm.People.Email"}},
    ),
    Statement(
        "pivot",
        "redshift",
        """select region, web, app from (select region, channel, total from shop.orders)
        pivot (sum(total) for channel in ('web' as web, 'app' as app))""",
        {"shop.orders"},
        {
            "region": {"shop.orders.region"},
            "web": {"shop.orders.total"},
            "app": {"shop.orders.total"},
        },
        {"web": {"shop.orders.channel"}, "app": {"shop.orders.channel"}},
    ),
    Statement(
        "object and array of columns",
        "redshift",
        """select object('id', id, 'mail', email) as doc, array(a, b) as list,
            array_concat(tags, more_tags) as all_tags,
            json_serialize(doc2) as txt from crm.people""",
        {"crm.people"},
        {
            "doc": {"crm.people.id", "crm.people.email"},
            "list": {"crm.people.a", "crm.people.b"},
            "all_tags": {"crm.people.tags", "crm.people.more_tags"},
            "txt": {"crm.people.doc2"},
        },
    ),
    Statement(
        "qualify and exclude",
        "redshift",
        """select * exclude (ssn) from crm.people
        qualify row_number() over (partition by id order by at desc) = 1""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "ssn": NONE},
    ),
)

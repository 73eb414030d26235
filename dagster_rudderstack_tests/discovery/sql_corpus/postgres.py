"""Models of Postgres: documents, set-returning functions, whole rows and functions by name."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "document operators",
        "postgres",
        """select id, doc->>'email' as email, doc->'address'->>'city' as city, doc#>>'{a,b}' as b,
            (doc->>'age')::int as age, doc ? 'vip' as is_vip, data @> '{"a": 1}' as has_a
        from app.users""",
        {"app.users"},
        {
            "email": {"app.users.doc"},
            "city": {"app.users.doc"},
            "b": {"app.users.doc"},
            "age": {"app.users.doc"},
            "is_vip": {"app.users.doc"},
            "has_a": {"app.users.data"},
        },
    ),
    Statement(
        "document operators without an alias",
        "postgres",
        "select u.id, u.doc->>'plan' from app.users u",
        {"app.users"},
        {"id": {"app.users.id"}},
    ),
    Statement(
        "jsonb_array_elements",
        "postgres",
        """select o.id, item->>'sku' as sku, (item->>'qty')::int as qty
        from shop.orders o, jsonb_array_elements(o.doc->'items') as item""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.doc"}, "qty": {"shop.orders.doc"}},
    ),
    Statement(
        "jsonb_array_elements with ordinality",
        "postgres",
        """select o.id, t.item->>'sku' as sku, t.n from shop.orders o
        cross join lateral jsonb_array_elements(o.items) with ordinality as t(item, n)""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "n": {"shop.orders.items"}},
    ),
    Statement(
        "jsonb_each",
        "postgres",
        """select u.id, kv.key as trait, kv.value as trait_value from app.users u
        left join lateral jsonb_each_text(u.traits) as kv on true""",
        {"app.users"},
        {
            "id": {"app.users.id"},
            "trait": {"app.users.traits"},
            "trait_value": {"app.users.traits"},
        },
    ),
    Statement(
        "jsonb_to_recordset",
        "postgres",
        """select o.id, x.sku, x.qty from shop.orders o,
            jsonb_to_recordset(o.items) as x(sku text, qty int)""",
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "qty": {"shop.orders.items"}},
    ),
    Statement(
        "set-returning function in the outputs",
        "postgres",
        """select id, unnest(tags) as tag, jsonb_object_keys(doc) as key,
            regexp_split_to_table(notes, ',') as note from app.users""",
        {"app.users"},
        {
            "id": {"app.users.id"},
            "tag": {"app.users.tags"},
            "key": {"app.users.doc"},
            "note": {"app.users.notes"},
        },
    ),
    Statement(
        "column without a table next to a set-returning function of scalars",
        "postgres",
        "select email, t->>'x' as x from app.users u, jsonb_array_elements(u.tags) t",
        {"app.users"},
        {"x": {"app.users.tags"}, "email": {"app.users.email"}},
    ),
    Statement(
        "column without a table next to an array, whose elements are taken to have no fields",
        "postgres",
        "select email, t from app.users u, unnest(u.tags) t",
        {"app.users"},
        {"t": {"app.users.tags"}, "email": UNKNOWN},
        also={"email": {"app.users.email"}},
    ),
    Statement(
        "whole row as JSON",
        "postgres",
        """select p.id, row_to_json(p) as doc, to_jsonb(p) - 'ssn' as safe_doc, p as entire,
            count(p) over () as n, p::text as txt from app.people p""",
        {"app.people"},
        {
            "id": {"app.people.id"},
            "doc": UNKNOWN,
            "safe_doc": UNKNOWN,
            "entire": UNKNOWN,
            "n": UNKNOWN,
            "txt": UNKNOWN,
        },
    ),
    Statement(
        "whole row of a subquery",
        "postgres",
        """select json_agg(t) as docs from (select id, lower(email) as email from app.people) t""",
        {"app.people"},
        {"docs": {"app.people.id", "app.people.email"}},
    ),
    Statement(
        "json objects of columns",
        "postgres",
        """select jsonb_build_object('id', id, 'mail', email) as doc,
            json_agg(json_build_object('t', title) order by at) as titles, array[a, b] as pair,
            row(a, b) as composite, array(select o.total from shop.orders o where o.p = u.id)
            as totals
        from app.users u group by id, email, a, b""",
        {"app.users", "shop.orders"},
        {
            "doc": {"app.users.id", "app.users.email"},
            "titles": {"app.users.title", "app.users.at"},
            "pair": {"app.users.a", "app.users.b"},
            "composite": {"app.users.a", "app.users.b"},
            "totals": {"shop.orders.total"},
        },
    ),
    Statement(
        "fields of a composite column",
        "postgres",
        "select (u.address).city as city, (address).zip as zip from app.users u",
        {"app.users"},
        {"city": {"app.users.address"}, "zip": {"app.users.address"}},
    ),
    Statement(
        "functions without parentheses",
        "postgres",
        """select id, current_date as d, localtimestamp as l, user as u, session_user as s,
            current_user as c, current_schema as cs, current_role as r, current_catalog as cat
        from app.users""",
        {"app.users"},
        {"d": NONE, "l": NONE, "u": NONE, "s": NONE, "c": NONE, "cs": NONE, "r": NONE, "cat": NONE},
    ),
    Statement(
        "columns named like functions",
        "postgres",
        'select "user", "current_date" as d, u."order", date, month from app.users u',
        {"app.users"},
        {
            "user": {"app.users.user"},
            "d": {"app.users.current_date"},
            "order": {"app.users.order"},
            "date": {"app.users.date"},
            "month": {"app.users.month"},
        },
    ),
    Statement(
        "dates and intervals",
        "postgres",
        """select extract(epoch from ended_at - started_at) as seconds, date_trunc('week', at) as w,
            created_at at time zone 'UTC' as utc, now() - interval '1 day' as yesterday,
            extract(dow from at) as dow, age(born) as age, at + make_interval(days => days) as due,
            (a, b) overlaps (c, d) as hit
        from app.sessions""",
        {"app.sessions"},
        {
            "seconds": {"app.sessions.ended_at", "app.sessions.started_at"},
            "w": {"app.sessions.at"},
            "utc": {"app.sessions.created_at"},
            "yesterday": NONE,
            "dow": {"app.sessions.at"},
            "age": {"app.sessions.born"},
            "due": {"app.sessions.at", "app.sessions.days"},
            "hit": {"app.sessions.a", "app.sessions.b", "app.sessions.c", "app.sessions.d"},
        },
    ),
    Statement(
        "aggregates with filter and order",
        "postgres",
        """select user_id, count(*) filter (where status = 'paid') as paid,
            string_agg(sku, ',' order by at desc) as skus,
            percentile_cont(0.5) within group (order by total) as median,
            array_agg(distinct channel) as channels, bool_or(refunded) as any_refund
        from shop.orders group by user_id""",
        {"shop.orders"},
        {
            "paid": {"shop.orders.status"},
            "skus": {"shop.orders.sku", "shop.orders.at"},
            "median": {"shop.orders.total"},
            "channels": {"shop.orders.channel"},
            "any_refund": {"shop.orders.refunded"},
        },
    ),
    Statement(
        "distinct on",
        "postgres",
        "select distinct on (user_id) user_id, plan from app.subs order by user_id, at desc",
        {"app.subs"},
        {"user_id": {"app.subs.user_id"}, "plan": {"app.subs.plan"}},
    ),
    Statement(
        "deleted rows",
        "postgres",
        """with d as (delete from app.queue where done returning id, payload->>'email' as email)
        select id, email from d""",
        {"app.queue"},
        {"id": {"app.queue.id"}, "email": {"app.queue.payload"}},
    ),
    Statement(
        "deleted rows by star",
        "postgres",
        "with d as (delete from app.queue returning *) select d.id from d",
        {"app.queue"},
        {"id": {"app.queue.id"}},
    ),
    Statement(
        "values",
        "postgres",
        """select u.id, m.label from app.users u
        join (values (1, 'gold'), (2, 'silver')) as m(tier, label) on m.tier = u.tier""",
        {"app.users"},
        {"id": {"app.users.id"}, "label": NONE},
    ),
    Statement(
        "values made of columns",
        "postgres",
        """select u.id, v.kind, v.phone from app.users u
        cross join lateral (values ('home', u.home_phone), ('work', u.work_phone)) as v(kind,
            phone)""",
        {"app.users"},
        {
            "id": {"app.users.id"},
            "kind": NONE,
            "phone": {"app.users.home_phone", "app.users.work_phone"},
        },
    ),
    Statement(
        "lateral subquery",
        "postgres",
        """select u.id, l.total, l.n from app.users u left join lateral (
            select sum(o.total) as total, count(*) as n from shop.orders o where o.user_id = u.id
        ) l on true""",
        {"app.users", "shop.orders"},
        {"id": {"app.users.id"}, "total": {"shop.orders.total"}, "n": NONE},
    ),
    Statement(
        "recursive branch that swaps columns",
        "postgres",
        """with recursive t(a, b) as (
            select x, y from app.edges union all select t.b, t.a from t where t.a < 10
        ) select a, b from t""",
        {"app.edges"},
        {"a": {"app.edges.x", "app.edges.y"}, "b": {"app.edges.x", "app.edges.y"}},
    ),
    Statement(
        "recursive path",
        "postgres",
        """with recursive tree as (
            select id, parent_id, name::text as path,
            1 as depth from app.orgs where parent_id is null
            union all
            select o.id, o.parent_id, tree.path || '/' || o.name, tree.depth + 1
            from app.orgs o join tree on tree.id = o.parent_id
        ) select id, path, depth from tree""",
        {"app.orgs"},
        {"id": {"app.orgs.id"}, "path": {"app.orgs.name"}, "depth": NONE},
    ),
    Statement(
        "dollar quotes and escapes",
        "postgres",
        r"""select id, $tag$it's "quoted" $$ (text$tag$ as a, E'it\'s' as b, U&'d\0061t' as c
        from app.users""",
        {"app.users"},
        {"id": {"app.users.id"}, "a": NONE, "b": NONE, "c": NONE},
    ),
    Statement(
        "system columns and only",
        "postgres",
        "select id, ctid::text as row_place from only app.users tablesample system (5)",
        {"app.users"},
        {"id": {"app.users.id"}, "row_place": {"app.users.ctid"}},
    ),
    Statement(
        "rows of another database",
        "postgres",
        """select id, email from dblink('dbname=x', 'select id, email from u') as t(id int,
            email text)""",
        set(),
        {"id": NONE, "email": NONE},
    ),
    Statement(
        "table statement in a common table expression",
        "postgres",
        "with u as (table app.users) select id from u",
        {"app.users"},
        {"id": {"app.users.id"}},
    ),
    Statement(
        "full join with using",
        "postgres",
        """select email, a.plan, b.seats from crm.a full outer join billing.b using (email)""",
        {"crm.a", "billing.b"},
        {
            "email": {"crm.a.email", "billing.b.email"},
            "plan": {"crm.a.plan"},
            "seats": {"billing.b.seats"},
        },
    ),
    Statement(
        "natural join",
        "postgres",
        "select id, a.name, b.total from crm.a natural join billing.b",
        {"crm.a", "billing.b"},
        {"id": UNKNOWN, "name": {"crm.a.name"}, "total": {"billing.b.total"}},
    ),
    Statement(
        "collation and casts",
        "postgres",
        """select name collate "de_DE" as name, cast(n as numeric(10, 2)) as n,
            'now'::timestamptz as t,
            date '2024-01-01' as day, b::bool is true as flag from app.users""",
        {"app.users"},
        {
            "name": {"app.users.name"},
            "n": {"app.users.n"},
            "t": NONE,
            "day": NONE,
            "flag": {"app.users.b"},
        },
    ),
    Statement(
        "rollup and grouping",
        "postgres",
        """select region, grouping(region) as is_total, sum(total) as total from shop.orders
        group by rollup (region)""",
        {"shop.orders"},
        {
            "region": {"shop.orders.region"},
            "is_total": {"shop.orders.region"},
            "total": {"shop.orders.total"},
        },
    ),
)

"""Models of Snowflake: names, stars, outputs that refer to others, and time travel."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "output that refers to an earlier one, or to a column",
        "snowflake",
        "select amount * 0.2 as tax, amount + tax as gross from shop.orders",
        {"shop.orders"},
        {"tax": {"shop.orders.amount"}, "gross": UNKNOWN},
    ),
    Statement(
        "output that refers to an earlier one of listed columns",
        "snowflake",
        """with o as (select id, amount from shop.orders)
        select id, amount * 0.2 as tax, amount + tax as gross from o""",
        {"shop.orders"},
        {"tax": {"shop.orders.amount"}, "gross": {"shop.orders.amount"}},
    ),
    Statement(
        "column takes precedence over an earlier output",
        "snowflake",
        """with o as (select id, amount, discount from shop.orders)
        select id as amount, amount + discount as net from o""",
        {"shop.orders"},
        {"net": {"shop.orders.amount", "shop.orders.discount"}, "amount": {"shop.orders.id"}},
    ),
    Statement(
        "keywords as quoted names",
        "snowflake",
        """select "order" as order_no, "user" as user_name, "date" as day,
            "month" from crm."group" """,
        {"crm.group"},
        {
            "order_no": {"crm.group.order"},
            "user_name": {"crm.group.user"},
            "day": {"crm.group.date"},
            "month": {"crm.group.month"},
        },
    ),
    Statement(
        "unquoted keywords that are allowed as names",
        "snowflake",
        "select date, month, user, type, value from crm.facts",
        {"crm.facts"},
        {
            "date": {"crm.facts.date"},
            "month": {"crm.facts.month"},
            "user": {"crm.facts.user"},
            "type": {"crm.facts.type"},
            "value": {"crm.facts.value"},
        },
    ),
    Statement(
        "star without and with other names",
        "snowflake",
        """select * exclude (ssn, password) rename (email as email_address, id as person_id)
        from crm.people""",
        {"crm.people"},
        {
            "email_address": {"crm.people.email"},
            "person_id": {"crm.people.id"},
            "email": NONE,
            "ssn": NONE,
            "phone": {"crm.people.phone"},
        },
    ),
    Statement(
        "star with a pattern",
        "snowflake",
        "select * ilike '%id%' from crm.people",
        {"crm.people"},
        {"person_id": {"crm.people.person_id"}, "email": NONE},
    ),
    Statement(
        "whole row as an object",
        "snowflake",
        "select id, object_construct(*) as doc, hash(*) as h from crm.people",
        {"crm.people"},
        {"id": {"crm.people.id"}, "doc": UNKNOWN, "h": UNKNOWN},
    ),
    Statement(
        "object of columns",
        "snowflake",
        """select object_construct('id', id, 'mail', email) as doc,
            object_construct_keep_null('n', null) as empty_doc, array_construct(a, b) as list,
            {'k': email} as short_doc, [a, 1] as short_list
        from crm.people""",
        {"crm.people"},
        {
            "doc": {"crm.people.id", "crm.people.email"},
            "empty_doc": NONE,
            "list": {"crm.people.a", "crm.people.b"},
            "short_doc": {"crm.people.email"},
            "short_list": {"crm.people.a"},
        },
    ),
    Statement(
        "qualify",
        "snowflake",
        """select id, email from crm.people
        qualify row_number() over (partition by id order by updated_at desc) = 1""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}},
    ),
    Statement(
        "date parts as bare words",
        "snowflake",
        """select datediff(day, created_at, current_date) as age_days,
            dateadd(month, -1, renewed_at) as before, date_trunc(week, created_at) as wk,
            date_part(year, born) as y, extract(hour from seen_at) as h,
            timestampdiff(minute, started_at, ended_at) as mins, last_day(born, month) as eom
        from crm.people""",
        {"crm.people"},
        {
            "age_days": {"crm.people.created_at"},
            "before": {"crm.people.renewed_at"},
            "wk": {"crm.people.created_at"},
            "y": {"crm.people.born"},
            "h": {"crm.people.seen_at"},
            "mins": {"crm.people.started_at", "crm.people.ended_at"},
            "eom": {"crm.people.born"},
        },
    ),
    Statement(
        "functions without parentheses",
        "snowflake",
        """select current_date as d, current_timestamp as ts, current_user as u,
            localtimestamp as l,
            id from crm.people""",
        {"crm.people"},
        {"d": NONE, "ts": NONE, "u": NONE, "l": NONE, "id": {"crm.people.id"}},
    ),
    Statement(
        "positional columns",
        "snowflake",
        "select $1 as a, t.$2 as b from crm.people t",
        {"crm.people"},
        {"a": UNKNOWN, "b": UNKNOWN},
    ),
    Statement(
        "positional columns of values",
        "snowflake",
        "select $1 as code, column2 as label from values ('a', 'A'), ('b', 'B')",
        set(),
        {"code": NONE, "label": NONE},
    ),
    Statement(
        "time travel",
        "snowflake",
        """select p.id, o.total from crm.people at(timestamp => '2024-01-01'::timestamp_tz) p
        join shop.orders before(statement => '8e5d0ca9') as o on o.person_id = p.id""",
        {"crm.people", "shop.orders"},
        {"id": {"crm.people.id"}, "total": {"shop.orders.total"}},
    ),
    Statement(
        "changes of a table",
        "snowflake",
        """select id, email, metadata$action as action from crm.people
        changes(information => append_only) at(offset => -60 * 60)""",
        {"crm.people"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}, "action": NONE},
        {"action": {"crm.people.metadata$action"}},
    ),
    Statement(
        "table named by identifier",
        "snowflake",
        "select id from identifier('crm.public.people')",
        {"crm.public.people"},
        {"id": {"crm.public.people.id"}},
    ),
    Statement(
        "table named by a function",
        "snowflake",
        "select id, email from table('crm.people') where active",
        {"crm.people"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}},
    ),
    Statement(
        "database without a schema",
        "snowflake",
        "select p.id from prod..people p",
        {"prod.PUBLIC.people"},
        {"id": {"prod.PUBLIC.people.id"}},
    ),
    Statement(
        "result of another query",
        "snowflake",
        "select id, name from table(result_scan(last_query_id()))",
        set(),
        {"id": NONE, "name": NONE},
    ),
    Statement(
        "next value of a sequence",
        "snowflake",
        "select crm.people_seq.nextval as n, id from crm.people",
        {"crm.people"},
        {"n": NONE, "id": {"crm.people.id"}},
    ),
    Statement(
        "sample",
        "snowflake",
        "select p.id, p.email from crm.people as p sample bernoulli (10) where p.email is not null",
        {"crm.people"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}},
    ),
    Statement(
        "pivot of listed columns",
        "snowflake",
        """with o as (select customer_id, channel, amount from shop.orders)
        select customer_id, web, store from o
        pivot (sum(amount) for channel in ('web', 'store')) as p (customer_id, web, store)""",
        {"shop.orders"},
        {
            "customer_id": {"shop.orders.customer_id"},
            "web": {"shop.orders.amount"},
            "store": {"shop.orders.amount"},
        },
        {"web": {"shop.orders.channel"}, "store": {"shop.orders.channel"}},
    ),
    Statement(
        "unpivot",
        "snowflake",
        "select id, kind, phone from crm.people unpivot (phone for kind in (home, mobile))",
        {"crm.people"},
        {"id": {"crm.people.id"}, "phone": {"crm.people.home", "crm.people.mobile"}, "kind": NONE},
        {"kind": {"crm.people.home", "crm.people.mobile"}},
    ),
    Statement(
        "ordered list of an aggregate",
        "snowflake",
        """select person_id, listagg(distinct sku, ',') within group (order by bought_at) as skus,
            count_if(total > 10) as big, max_by(status, changed_at) as last_status
        from shop.orders group by all""",
        {"shop.orders"},
        {
            "skus": {"shop.orders.sku", "shop.orders.bought_at"},
            "big": {"shop.orders.total"},
            "last_status": {"shop.orders.status", "shop.orders.changed_at"},
        },
    ),
    Statement(
        "hierarchy with connect by",
        "snowflake",
        """select id, level as depth, prior name as parent_name from crm.accounts
        start with parent_id is null connect by prior id = parent_id""",
        {"crm.accounts"},
        {"id": {"crm.accounts.id"}, "depth": NONE, "parent_name": {"crm.accounts.name"}},
    ),
    Statement(
        "quoted and unquoted name of two columns",
        "snowflake",
        """select "email" as raw_email, lower(Email2) as clean_email from "Crm"."People" """,
        {"Crm.People"},
        {"raw_email": {"Crm.People.email"}, "clean_email": {"Crm.People.Email2"}},
    ),
    Statement(
        "dollar quotes",
        "snowflake",
        "select $$it's (a 'text'$$ as note, id, 'a''b -- c' as other from crm.people -- ') end",
        {"crm.people"},
        {"note": NONE, "id": {"crm.people.id"}, "other": NONE},
    ),
    Statement(
        "asof join",
        "snowflake",
        """select t.id, q.price from crm.trades t
        asof join crm.quotes q match_condition (t.at >= q.at) on t.symbol = q.symbol""",
        {"crm.trades", "crm.quotes"},
        {"id": {"crm.trades.id"}, "price": {"crm.quotes.price"}},
    ),
    Statement(
        "conditions that read another table",
        "snowflake",
        """select p.id, p.email from crm.people p
        where exists (select 1 from shop.orders o where o.person_id = p.id)
            and p.id not in (select person_id from crm.opt_outs)""",
        {"crm.people", "shop.orders", "crm.opt_outs"},
        {"id": {"crm.people.id"}, "email": {"crm.people.email"}},
    ),
)

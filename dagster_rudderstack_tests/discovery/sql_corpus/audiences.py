"""Models that people sync to advertising and messaging tools."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "hashed identifiers",
        "bigquery",
        """select to_hex(sha256(lower(trim(email)))) as hashed_email,
            to_hex(sha256(regexp_replace(phone, r'[^0-9]', ''))) as hashed_phone from crm.users
        where email is not null""",
        {"crm.users"},
        {"hashed_email": {"crm.users.email"}, "hashed_phone": {"crm.users.phone"}},
    ),
    Statement(
        "hashed identifiers",
        "snowflake",
        """select sha2(lower(trim(u.email)), 256) as em, sha2(regexp_replace(u.phone,
            '[^0-9]'), 256) as ph,
            u.id as external_id from crm.users u join crm.consents c
            on c.user_id = u.id and c.kind = 'ads'""",
        {"crm.users", "crm.consents"},
        {"em": {"crm.users.email"}, "ph": {"crm.users.phone"}, "external_id": {"crm.users.id"}},
    ),
    Statement(
        "traits as a document",
        "snowflake",
        """select user_id, object_construct('email', email, 'plan', plan, 'source',
            'warehouse') as traits,
            to_json(object_construct('n', n)) as txt from crm.traits""",
        {"crm.traits"},
        {
            "user_id": {"crm.traits.user_id"},
            "traits": {"crm.traits.email", "crm.traits.plan"},
            "txt": {"crm.traits.n"},
        },
    ),
    Statement(
        "recency, frequency and value",
        "redshift",
        """with agg as (
            select customer_id, max(ordered_at) as last_at, count(distinct order_id) as freq,
                sum(total) as value from shop.orders where status <> 'void' group by customer_id
        ), scored as (
            select customer_id, ntile(5) over (order by last_at) as r,
                ntile(5) over (order by freq) as f, ntile(5) over (order by value) as m from agg
        ) select c.email, s.r || s.f || s.m as rfm, s.r + s.m as score
        from scored s join crm.customers c on c.id = s.customer_id""",
        {"shop.orders", "crm.customers"},
        {
            "email": {"crm.customers.email"},
            "rfm": {"shop.orders.ordered_at", "shop.orders.order_id", "shop.orders.total"},
            "score": {"shop.orders.ordered_at", "shop.orders.total"},
        },
    ),
    Statement(
        "abandoned carts",
        "postgres",
        """select c.user_id, c.items, max(c.updated_at) over (partition by c.user_id) as
            last_cart_at
        from shop.carts c left join shop.orders o on o.cart_id = c.id
        where o.id is null and c.updated_at < now() - interval '1 hour'""",
        {"shop.carts", "shop.orders"},
        {
            "items": {"shop.carts.items"},
            "last_cart_at": {"shop.carts.updated_at", "shop.carts.user_id"},
        },
    ),
    Statement(
        "first and last touch",
        "databricks",
        """select distinct user_id, first_value(utm_source) over w as first_source,
            last_value(utm_source) over (partition by user_id order by at
                rows between unbounded preceding and unbounded following) as last_source
        from web.sessions window w as (partition by user_id order by at)""",
        {"web.sessions"},
        {
            "first_source": {"web.sessions.utm_source", "web.sessions.user_id", "web.sessions.at"},
            "last_source": {"web.sessions.utm_source", "web.sessions.user_id", "web.sessions.at"},
        },
    ),
    Statement(
        "identity stitching",
        "snowflake",
        """with ids as (
            select anonymous_id, user_id, received_at from rs.identifies
            union select anonymous_id, user_id, received_at from rs.tracks where user_id is not null
        ), latest as (
            select anonymous_id, user_id from ids
            qualify row_number() over (partition by anonymous_id order by received_at desc) = 1
        ) select coalesce(l.user_id, p.anonymous_id) as person, p.path
        from rs.pages p left join latest l on l.anonymous_id = p.anonymous_id""",
        {"rs.identifies", "rs.tracks", "rs.pages"},
        {
            "person": {"rs.identifies.user_id", "rs.tracks.user_id", "rs.pages.anonymous_id"},
            "path": {"rs.pages.path"},
        },
    ),
    Statement(
        "sessions from gaps",
        "trino",
        """with gaps as (
            select user_id, at, case when date_diff('minute', lag(at) over (
                partition by user_id order by at), at) > 30 then 1 else 0 end as is_new
            from hive.web.hits
        ) select user_id, at, sum(is_new) over (partition by user_id order by at) as session_no
        from gaps""",
        {"hive.web.hits"},
        {
            "user_id": {"hive.web.hits.user_id"},
            "session_no": {"hive.web.hits.user_id", "hive.web.hits.at"},
        },
    ),
    Statement(
        "lifecycle stages",
        "mysql",
        """select u.id, case when max(o.at) is null then 'lead' when max(o.at) > now() -
            interval 90 day
            then 'active' else 'lapsed' end as stage, count(o.id) as orders
        from app.users u left join shop.orders o on o.user_id = u.id
        group by u.id having count(o.id) < 100""",
        {"app.users", "shop.orders"},
        {"id": {"app.users.id"}, "stage": {"shop.orders.at"}, "orders": {"shop.orders.id"}},
    ),
    Statement(
        "funnel",
        "clickhouse",
        """select user_id, windowFunnel(3600)(at, event = 'view', event = 'buy') as step,
            minIf(at, event = 'view') as first_view from web.events group by user_id""",
        {"web.events"},
        {
            "step": {"web.events.at", "web.events.event"},
            "first_view": {"web.events.at", "web.events.event"},
        },
    ),
    Statement(
        "account roll-up",
        "duckdb",
        """with u as (select account_id, count(*) as seats, max(seen_at) as last_seen from app.users
            group by all),
        s as (select account_id, sum(mrr) as mrr from billing.subs group by all)
        select a.id, a.name, coalesce(u.seats, 0) as seats, u.last_seen, s.mrr
        from crm.accounts a left join u on u.account_id = a.id left join s on s.account_id =
            a.id""",
        {"app.users", "billing.subs", "crm.accounts"},
        {
            "id": {"crm.accounts.id"},
            "seats": NONE,
            "last_seen": {"app.users.seen_at"},
            "mrr": {"billing.subs.mrr"},
        },
    ),
    Statement(
        "changed rows since the last sync",
        "postgres",
        """select u.*, greatest(u.updated_at, p.updated_at) as changed_at from app.users u
        join app.profiles p on p.user_id = u.id
        where u.updated_at > (select coalesce(max(synced_at), '-infinity') from ops.sync_log)""",
        {"app.users", "app.profiles", "ops.sync_log"},
        {
            "email": {"app.users.email"},
            "changed_at": {"app.users.updated_at", "app.profiles.updated_at"},
        },
    ),
    Statement(
        "full join of two sources",
        "redshift",
        """select coalesce(a.email, b.email) as email, nvl2(a.id, 'crm', 'billing') as origin,
            a.id is not null and b.id is not null as in_both
        from crm.contacts a full outer join billing.contacts b on a.email = b.email""",
        {"crm.contacts", "billing.contacts"},
        {
            "email": {"crm.contacts.email", "billing.contacts.email"},
            "origin": {"crm.contacts.id"},
            "in_both": {"crm.contacts.id", "billing.contacts.id"},
        },
    ),
    Statement(
        "unqualified columns of a join of tables",
        "snowflake",
        """select email, sum(total) as ltv, count(*) as n from crm.users
        join shop.orders on users.id = orders.user_id group by email""",
        {"crm.users", "shop.orders"},
        {"email": UNKNOWN, "ltv": UNKNOWN, "n": NONE},
    ),
    Statement(
        "subscription by the last event",
        "bigquery",
        """select user_id, status from (
            select user_id, status, row_number() over (partition by user_id order by at desc) as rn
            from `acme.billing.events`) where rn = 1""",
        {"acme.billing.events"},
        {"user_id": {"acme.billing.events.user_id"}, "status": {"acme.billing.events.status"}},
    ),
    Statement(
        "tables in ORDER BY, LIMIT and HAVING",
        "postgres",
        """select u.id, count(*) as n from app.users u group by u.id
        having count(*) > (select l.least from ops.limits l)
        order by (select max(p.rank) from ops.ranks p where p.user_id = u.id)
        limit (select m.most from ops.most m)""",
        {"app.users", "ops.limits", "ops.ranks", "ops.most"},
        {"id": {"app.users.id"}, "n": NONE},
    ),
    Statement(
        "common table expressions in the branches of a union",
        "snowflake",
        """(with a as (select id as k from crm.a) select k from a)
        union all (with a as (select uid as k from crm.b) select k from a)""",
        {"crm.a", "crm.b"},
        {"k": {"crm.a.id", "crm.b.uid"}},
    ),
    Statement(
        "counts of conditions",
        "bigquery",
        """select user_id, countif(kind = 'a') as a, count(distinct if(kind = 'b', item,
            null)) as b,
            logical_or(paid) as paid, sum(if(at > timestamp('2024-01-01'), 1, 0)) as recent
        from web.events group by 1""",
        {"web.events"},
        {
            "a": {"web.events.kind"},
            "b": {"web.events.kind", "web.events.item"},
            "paid": {"web.events.paid"},
            "recent": {"web.events.at"},
        },
    ),
)

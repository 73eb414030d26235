"""Traps, each of which once misled the library or a reader: bigquery."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "trap 1",
        "bigquery",
        """with e as (select event_name, event_params from crm.ev) select (select
        if(event_name='purchase', value.int_value, null) from unnest(event_params) where
        key='v') j from e """,
        {"crm.ev"},
        {"j": {"crm.ev.event_name", "crm.ev.event_params"}},
    ),
    Statement(
        "trap 2",
        "bigquery",
        """with e as (select user_id, rate, items from crm.ev) select user_id, (select
        sum(price * rate) from unnest(items)) t from e """,
        {"crm.ev"},
        {"user_id": {"crm.ev.user_id"}, "t": UNKNOWN},
    ),
    Statement(
        "trap 3",
        "bigquery",
        """select id, array(select as struct id, sku from unnest(items)) as j from
        crm.people """,
        {"crm.people"},
        {"id": {"crm.people.id"}, "j": UNKNOWN},
    ),
    Statement(
        "trap 4",
        "bigquery",
        """select (select concat(event_name, value.string_value) from unnest(event_params)
        where key='x') as n from `p.a.events_*` """,
        {"p.a.events_*"},
        {"n": UNKNOWN},
    ),
    Statement(
        "trap 5",
        "bigquery",
        """select id, (select to_json_string(t) from unnest(items)) as j from crm.people t """,
        {"crm.people"},
        {"id": {"crm.people.id"}, "j": UNKNOWN},
    ),
    Statement(
        "trap 6",
        "bigquery",
        """select id, (select to_json_string(t) from unnest(items) i) as j from crm.people
        t """,
        {"crm.people"},
        {"id": {"crm.people.id"}, "j": UNKNOWN},
    ),
    Statement(
        "trap 7",
        "bigquery",
        """select id, (select format('%T', t) from t.items) as j from crm.people t """,
        {"crm.people"},
        {"id": {"crm.people.id"}, "j": UNKNOWN},
    ),
    Statement(
        "trap 8",
        "bigquery",
        """select (select to_json_string(t) from unnest([1])) as j from crm.people t """,
        {"crm.people"},
        {"j": UNKNOWN},
    ),
    Statement(
        "trap 9",
        "bigquery",
        """select x, row_number() over w2 rn from crm.p window w1 as (partition by k1), w2
        as (w1 order by k2) """,
        {"crm.p"},
        {"x": {"crm.p.x"}, "rn": {"crm.p.k1", "crm.p.k2"}},
    ),
    Statement(
        "trap 10",
        "bigquery",
        """select sum(x) over w s from s.t window v as (partition by k), w as v """,
        {"s.t"},
        {"s": {"s.t.k", "s.t.x"}},
    ),
    Statement(
        "trap 11",
        "bigquery",
        """select * from ml.forecast(model crm.m, struct(3 as horizon)) """,
        NONE,
        {},
    ),
    Statement(
        "trap 12",
        "bigquery",
        """select * from ai.generate_table(model crm.m, (select a from crm.p), struct('x'
        as y)) """,
        {"crm.p"},
        {},
    ),
    Statement(
        "trap 13",
        "bigquery",
        """select a, b from crm.p left union all by name select b, c from crm.q """,
        {"crm.p", "crm.q"},
        {"a": {"crm.p.a"}, "b": {"crm.p.b", "crm.q.b"}},
    ),
    Statement(
        "trap 14",
        "bigquery",
        """select event_name, (select value.string_value from unnest(event_params) where
        key = 'page_location') as page from `p.a.events_*` where _table_suffix >
        '20240101' """,
        {"p.a.events_*"},
        {"event_name": {"p.a.events_*.event_name"}, "page": {"p.a.events_*.event_params"}},
    ),
    Statement(
        "trap 15",
        "bigquery",
        """select event_name, (select ep.value.string_value from unnest(event_params) ep
        where ep.key = 'x') as page from `p.a.events_*` """,
        {"p.a.events_*"},
        {"event_name": {"p.a.events_*.event_name"}, "page": {"p.a.events_*.event_params"}},
    ),
    Statement(
        "trap 16",
        "bigquery",
        """select e.event_name, (select value.int_value from unnest(e.event_params) where
        key = 'ga_session_id') as sid, u.email from p.a.ev e join crm.users u on u.id =
        e.user_id """,
        {"crm.users", "p.a.ev"},
        {
            "event_name": {"p.a.ev.event_name"},
            "sid": {"p.a.ev.event_params"},
            "email": {"crm.users.email"},
        },
    ),
    Statement(
        "trap 17",
        "bigquery",
        """select user_pseudo_id, ep.value.string_value as v, up.value.int_value as w from
        `p.a.events_*`, unnest(event_params) as ep, unnest(user_properties) as up """,
        {"p.a.events_*"},
        {
            "user_pseudo_id": {"p.a.events_*.user_pseudo_id"},
            "v": {"p.a.events_*.event_params"},
            "w": {"p.a.events_*.user_properties"},
        },
    ),
    Statement(
        "trap 18",
        "bigquery",
        """select item.item_name, item.price * item.quantity as rev from `p.a.events_*`,
        unnest(items) as item where event_name = 'purchase' """,
        {"p.a.events_*"},
        {"item_name": {"p.a.events_*.items"}, "rev": {"p.a.events_*.items"}},
    ),
    Statement(
        "trap 19",
        "bigquery",
        """select device.category, geo.country, device.web_info.browser b from
        `p.a.events_*` """,
        {"p.a.events_*"},
        {
            "category": {"p.a.events_*.device"},
            "country": {"p.a.events_*.geo"},
            "b": {"p.a.events_*.device"},
        },
    ),
    Statement(
        "trap 20",
        "bigquery",
        """select concat(user_pseudo_id, (select value.int_value from unnest(event_params)
        where key = 'ga_session_id')) as session_key from `p.a.events_*` """,
        {"p.a.events_*"},
        {"session_key": {"p.a.events_*.event_params", "p.a.events_*.user_pseudo_id"}},
    ),
    Statement(
        "trap 21",
        "bigquery",
        """select max(if(ep.key='page', ep.value.string_value, null)) as page from
        `p.a.events_*`, unnest(event_params) ep group by user_pseudo_id """,
        {"p.a.events_*"},
        {"page": {"p.a.events_*.event_params"}},
    ),
    Statement(
        "trap 22",
        "bigquery",
        """select (select p.value.string_value from unnest(items) i, unnest(i.item_params)
        p where p.key = 'x') v from `p.a.events_*` """,
        {"p.a.events_*"},
        {"v": {"p.a.events_*.items"}},
    ),
    Statement(
        "trap 23",
        "bigquery",
        """select o.id, i.sku, i from shop.orders o, o.items i """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "sku": {"shop.orders.items"}, "i": {"shop.orders.items"}},
    ),
    Statement(
        "trap 24",
        "bigquery",
        """select o.id, off from shop.orders o left join unnest(o.items) as i with offset
        as off """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "off": {"shop.orders.items"}},
    ),
    Statement(
        "trap 25",
        "bigquery",
        """select id, (select sum(i.price) from o.items i) as total from shop.orders o """,
        {"shop.orders"},
        {"id": {"shop.orders.id"}, "total": {"shop.orders.items"}},
    ),
    Statement(
        "trap 26",
        "bigquery",
        """with shop as (select id, orders from crm.people) select x.a from shop,
        shop.orders x """,
        {"crm.people"},
        {"a": {"crm.people.orders"}},
    ),
    Statement(
        "trap 27",
        "bigquery",
        """select id from shop.orders o where exists(select 1 from o.items i join crm.skus
        s on s.sku = i.sku) """,
        {"crm.skus", "shop.orders"},
        {"id": {"shop.orders.id"}},
    ),
    Statement(
        "trap 28",
        "bigquery",
        """select array_agg(t order by t.at desc limit 1)[offset(0)] as last, t.id from
        crm.people t group by t.id """,
        {"crm.people"},
        {"last": UNKNOWN, "id": {"crm.people.id"}},
    ),
    Statement(
        "trap 29",
        "bigquery",
        """select if(t is null, 1, 2) as j, format('%T', t) f from crm.people t """,
        {"crm.people"},
        {"j": UNKNOWN, "f": UNKNOWN},
    ),
    Statement(
        "trap 30",
        "bigquery",
        """select date_trunc(at, month) as m, date_trunc(at, week(monday)) as w,
        timestamp_trunc(ts, day, 'UTC') as d from s.t """,
        {"s.t"},
        {"m": {"s.t.at"}, "w": {"s.t.at"}, "d": {"s.t.ts"}},
    ),
    Statement(
        "trap 31",
        "bigquery",
        """select date_diff(day, month, day) as x, day, month, year, date from s.t """,
        {"s.t"},
        {
            "x": {"s.t.day", "s.t.month"},
            "day": {"s.t.day"},
            "month": {"s.t.month"},
            "year": {"s.t.year"},
            "date": {"s.t.date"},
        },
    ),
    Statement(
        "trap 32",
        "bigquery",
        """select normalize(name, nfc) n, normalize(nfc) as k from s.t """,
        {"s.t"},
        {"n": {"s.t.name"}, "k": {"s.t.nfc"}},
    ),
    Statement(
        "trap 33",
        "bigquery",
        """select arr[offset(i)] as x, arr[safe_offset(0)] y, `current_date` as z,
        current_date as c from s.t """,
        {"s.t"},
        {"x": {"s.t.arr", "s.t.i"}, "y": {"s.t.arr"}, "z": {"s.t.current_date"}, "c": NONE},
    ),
    Statement(
        "trap 34",
        "bigquery",
        """select id from crm.p join crm.P using (id) """,
        {"crm.P", "crm.p"},
        {"id": {"crm.P.id", "crm.p.id"}},
    ),
    Statement(
        "trap 35",
        "bigquery",
        """with recursive t as (select a, b, c from crm.p union all select b, c, a from t)
        select c, a from t """,
        {"crm.p"},
        {"c": {"crm.p.a", "crm.p.b", "crm.p.c"}, "a": {"crm.p.a", "crm.p.b", "crm.p.c"}},
    ),
    Statement(
        "trap 36",
        "bigquery",
        """with a as (select x from crm.p), b as (with a as (select x from crm.q) select x
        from a) select a.x, b.x as y from a, b """,
        {"crm.p", "crm.q"},
        {"x": {"crm.p.x"}, "y": {"crm.q.x"}},
    ),
    Statement(
        "trap 37",
        "bigquery",
        """select a, b from crm.p union all by name select b, a from crm.q """,
        {"crm.p", "crm.q"},
        {"a": {"crm.p.a", "crm.q.a"}, "b": {"crm.p.b", "crm.q.b"}},
    ),
    Statement(
        "trap 38",
        "bigquery",
        """select * except (a) replace (b + c as b) from crm.p """,
        {"crm.p"},
        {"b": {"crm.p.b", "crm.p.c"}, "d": {"crm.p.d"}},
    ),
    Statement(
        "trap 39",
        "bigquery",
        """select any_value(amount having max at) as amount from shop.orders group by id """,
        {"shop.orders"},
        {"amount": {"shop.orders.amount", "shop.orders.at"}},
    ),
)

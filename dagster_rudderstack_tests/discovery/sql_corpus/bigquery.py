"""Models of BigQuery: names, stars, functions, pivots and time travel."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "project with dashes",
        "bigquery",
        "select u.id, `u`.`Email` as email from my-project.crm.users u",
        {"my-project.crm.users"},
        {"id": {"my-project.crm.users.id"}, "email": {"my-project.crm.users.Email"}},
    ),
    Statement(
        "backticks around all parts and around each part",
        "bigquery",
        """select a.id, b.total from `acme-prod.crm.users` a
        join `acme-prod`.`shop`.`orders` b on a.id = b.user_id""",
        {"acme-prod.crm.users", "acme-prod.shop.orders"},
        {"id": {"acme-prod.crm.users.id"}, "total": {"acme-prod.shop.orders.total"}},
    ),
    Statement(
        "double quotes are text",
        "bigquery",
        'select id, "web" as source, "it is (not) a column" as note from crm.users',
        {"crm.users"},
        {"id": {"crm.users.id"}, "source": NONE, "note": NONE},
    ),
    Statement(
        "raw and triple-quoted text",
        "bigquery",
        """select regexp_extract(url, r'utm_source=([^&]+)') as utm,
            '''it's''' as note from web.hits""",
        {"web.hits"},
        {"utm": {"web.hits.url"}, "note": NONE},
    ),
    Statement(
        "date parts",
        "bigquery",
        """select date_trunc(created, month) as m, date_diff(current_date(), created, day) as age,
            extract(dayofweek from created) as dow, timestamp_add(seen_at,
            interval 3 hour) as later,
            date_sub(created, interval days day) as earlier, timestamp_trunc(seen_at, hour) as h,
            format_date('%Y-%m', created) as label, datetime_diff(a, b, isoweek) as weeks
        from crm.users""",
        {"crm.users"},
        {
            "m": {"crm.users.created"},
            "age": {"crm.users.created"},
            "dow": {"crm.users.created"},
            "later": {"crm.users.seen_at"},
            "earlier": {"crm.users.created", "crm.users.days"},
            "h": {"crm.users.seen_at"},
            "label": {"crm.users.created"},
            "weeks": {"crm.users.a", "crm.users.b"},
        },
    ),
    Statement(
        "functions without parentheses",
        "bigquery",
        "select current_date as d, current_timestamp as ts, user, session_user as s from crm.users",
        {"crm.users"},
        {"d": NONE, "ts": NONE, "user": {"crm.users.user"}, "s": {"crm.users.session_user"}},
    ),
    Statement(
        "names of date parts as columns",
        "bigquery",
        "select day, month, date, week from crm.calendar",
        {"crm.calendar"},
        {
            "day": {"crm.calendar.day"},
            "month": {"crm.calendar.month"},
            "date": {"crm.calendar.date"},
            "week": {"crm.calendar.week"},
        },
    ),
    Statement(
        "an output cannot refer to another one",
        "bigquery",
        "select id as a, a + 1 as b from crm.users",
        {"crm.users"},
        {"a": {"crm.users.id"}, "b": {"crm.users.a"}},
    ),
    Statement(
        "time travel",
        "bigquery",
        """select u.id from crm.users as u
        for system_time as of timestamp_sub(current_timestamp(), interval 1 hour)""",
        {"crm.users"},
        {"id": {"crm.users.id"}},
    ),
    Statement(
        "table sample",
        "bigquery",
        "select id from crm.users tablesample system (10 percent) where id > 0",
        {"crm.users"},
        {"id": {"crm.users.id"}},
    ),
    Statement(
        "pivot",
        "bigquery",
        """select * from (select user_id, channel, amount from shop.orders)
        pivot (sum(amount) as total, count(*) as n for channel in ('web' as web, 'app' as app))""",
        {"shop.orders"},
        {
            "user_id": {"shop.orders.user_id"},
            "total_web": {"shop.orders.amount"},
            "channel": NONE,
            "amount": NONE,
        },
        {"total_web": {"shop.orders.channel"}},
    ),
    Statement(
        "unpivot",
        "bigquery",
        """select id, quarter, sales from (select id, q1, q2 from shop.targets)
        unpivot (sales for quarter in (q1, q2))""",
        {"shop.targets"},
        {
            "id": {"shop.targets.id"},
            "sales": {"shop.targets.q1", "shop.targets.q2"},
            "quarter": NONE,
        },
        {"quarter": {"shop.targets.q1", "shop.targets.q2"}},
    ),
    Statement(
        "query of another database",
        "bigquery",
        """select id, email from external_query('eu.pg', 'select id, email from public.users')""",
        set(),
        {"id": NONE, "email": NONE},
    ),
    Statement(
        "prediction of a model",
        "bigquery",
        """select user_id, predicted_label from ml.predict(model ml.churn,
            (select user_id, logins from crm.features))""",
        {"crm.features"},
        {"user_id": UNKNOWN, "predicted_label": UNKNOWN},
        {"user_id": {"crm.features.user_id"}},
    ),
    Statement(
        "generated dates",
        "bigquery",
        """select d, u.id from unnest(generate_date_array('2024-01-01', current_date())) as d
        cross join crm.users as u""",
        {"crm.users"},
        {"d": NONE, "id": {"crm.users.id"}},
    ),
    Statement(
        "window by name",
        "bigquery",
        """select id, lag(stage) over w as last_stage, count(*) over (partition by owner) as n
        from crm.deals window w as (partition by id order by changed_at)""",
        {"crm.deals"},
        {
            "last_stage": {"crm.deals.stage", "crm.deals.id", "crm.deals.changed_at"},
            "n": {"crm.deals.owner"},
        },
    ),
    Statement(
        "qualify with a window",
        "bigquery",
        """select id, email, rank() over (order by score desc) as position from crm.leads
        where true qualify position <= 100""",
        {"crm.leads"},
        {"id": {"crm.leads.id"}, "position": {"crm.leads.score"}},
    ),
    Statement(
        "safe functions and casts",
        "bigquery",
        """select safe_cast(age as int64) as age, safe.parse_date('%F', born) as born,
            ifnull(phone, mobile) as phone, nullif(trim(name), '') as name,
            split(full_name, ' ')[safe_offset(0)] as first_name
        from crm.users""",
        {"crm.users"},
        {
            "age": {"crm.users.age"},
            "born": {"crm.users.born"},
            "phone": {"crm.users.phone", "crm.users.mobile"},
            "name": {"crm.users.name"},
            "first_name": {"crm.users.full_name"},
        },
    ),
    Statement(
        "select as struct",
        "bigquery",
        """select u.id, (select as struct max(o.total) as top, min(o.at) as first
            from shop.orders o where o.user_id = u.id) as stats from crm.users u""",
        {"shop.orders", "crm.users"},
        {"id": {"crm.users.id"}, "stats": {"shop.orders.total", "shop.orders.at"}},
    ),
    Statement(
        "struct and its field",
        "bigquery",
        """with t as (select id, struct(email as mail, phone) as contact from crm.users)
        select id, contact.mail as mail from t""",
        {"crm.users"},
        {"id": {"crm.users.id"}, "mail": {"crm.users.email"}},
        {"mail": {"crm.users.phone"}},
    ),
    Statement(
        "metadata of a data set",
        "bigquery",
        "select table_name, creation_time from crm.INFORMATION_SCHEMA.TABLES",
        {"crm.INFORMATION_SCHEMA.TABLES"},
        {"table_name": {"crm.INFORMATION_SCHEMA.TABLES.table_name"}},
    ),
    Statement(
        "partition time",
        "bigquery",
        "select id, _PARTITIONTIME as loaded_at from raw.hits where _PARTITIONDATE > '2024-01-01'",
        {"raw.hits"},
        {"id": {"raw.hits.id"}, "loaded_at": {"raw.hits._PARTITIONTIME"}},
    ),
    Statement(
        "pipe syntax",
        "bigquery",
        "from crm.users |> where active |> select id, lower(email) as email",
        {"crm.users"},
        {"id": {"crm.users.id"}, "email": {"crm.users.email"}},
    ),
    Statement(
        "except and intersect",
        "bigquery",
        """select id from crm.users except distinct select user_id from crm.opt_outs""",
        {"crm.users", "crm.opt_outs"},
        {"id": {"crm.users.id"}},
        {"id": {"crm.opt_outs.user_id"}},
    ),
)

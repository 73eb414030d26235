"""Models as dbt compiles them: chains of common table expressions."""

from dagster_rudderstack_tests.discovery.sql_corpus.statement import NONE, UNKNOWN, Statement

__all__ = ["STATEMENTS"]

STATEMENTS = (
    Statement(
        "dbt staging model",
        "snowflake",
        """with source as (
            select * from raw.shopify.customers
        ), renamed as (
            select id as customer_id, lower(email) as email,
                first_name || ' ' || last_name as full_name, _fivetran_synced as synced_at,
                'shopify' as source_name
            from source
        ) select * from renamed""",
        {"raw.shopify.customers"},
        {
            "customer_id": {"raw.shopify.customers.id"},
            "email": {"raw.shopify.customers.email"},
            "full_name": {"raw.shopify.customers.first_name", "raw.shopify.customers.last_name"},
            "synced_at": {"raw.shopify.customers._fivetran_synced"},
            "source_name": NONE,
        },
    ),
    Statement(
        "dbt imports, logic and final",
        "snowflake",
        """with customers as (select * from analytics.stg_customers),
        orders as (select * from analytics.stg_orders),
        customer_orders as (
            select customer_id, min(ordered_at) as first_order_at, count(*) as order_count,
                sum(amount) as ltv
            from orders group by 1
        ), final as (
            select customers.customer_id, customers.email, customer_orders.first_order_at,
                coalesce(customer_orders.order_count, 0) as order_count, ltv
            from customers left join customer_orders
                on customers.customer_id = customer_orders.customer_id
        ) select * from final""",
        {"analytics.stg_customers", "analytics.stg_orders"},
        {
            "customer_id": {"analytics.stg_customers.customer_id"},
            "email": {"analytics.stg_customers.email"},
            "first_order_at": {"analytics.stg_orders.ordered_at"},
            "order_count": NONE,
            "ltv": {"analytics.stg_orders.amount"},
        },
    ),
    Statement(
        "dbt final joins two stars",
        "bigquery",
        """with users as (select * from `acme.dbt.users`),
            plans as (select * from `acme.dbt.plans`),
        final as (select * from users left join plans using (plan_id))
        select user_id, plan_id, plan_name from final""",
        {"acme.dbt.users", "acme.dbt.plans"},
        {"user_id": UNKNOWN, "plan_name": UNKNOWN, "plan_id": {"acme.dbt.users.plan_id"}},
        {"plan_id": {"acme.dbt.plans.plan_id"}},
    ),
    Statement(
        "dbt deduplication by row number",
        "bigquery",
        """with ranked as (
            select *, row_number() over (partition by user_id order by updated_at desc) as rn
            from `acme`.`raw`.`users`
        ) select * except (rn) from ranked where rn = 1""",
        {"acme.raw.users"},
        {"email": {"acme.raw.users.email"}, "user_id": {"acme.raw.users.user_id"}},
    ),
    Statement(
        "dbt deduplication keeps the row number",
        "redshift",
        """with ranked as (
            select id, email, row_number() over (partition by id order by updated_at desc) as rn
            from public.contacts
        ) select id, email, rn from ranked where rn = 1""",
        {"public.contacts"},
        {
            "id": {"public.contacts.id"},
            "email": {"public.contacts.email"},
            "rn": {"public.contacts.id", "public.contacts.updated_at"},
        },
    ),
    Statement(
        "dbt union of relations with other names",
        "postgres",
        """with web as (select user_id, email from web.signups),
        app as (select device_user as uid, mail from app.registrations),
        unioned as (select * from web union all select * from app)
        select user_id as id, email from unioned""",
        {"web.signups", "app.registrations"},
        {
            "id": {"web.signups.user_id", "app.registrations.device_user"},
            "email": {"web.signups.email", "app.registrations.mail"},
        },
    ),
    Statement(
        "dbt union of relations by star",
        "postgres",
        """with unioned as (select * from web.signups union all select * from app.signups)
        select email as mail from unioned""",
        {"web.signups", "app.signups"},
        {"mail": UNKNOWN},
        # Both relations are taken to have the same columns in the same order.
        also={"mail": {"web.signups.email", "app.signups.email"}},
    ),
    Statement(
        "dbt common table expression named like its table",
        "postgres",
        """with orders as (select * from orders where not is_test),
        customers as (select * from shop.customers)
        select customers.id, sum(orders.amount) as ltv from customers
        left join orders on orders.customer_id = customers.id group by 1""",
        {"orders", "shop.customers"},
        {"id": {"shop.customers.id"}, "ltv": {"orders.amount"}},
    ),
    Statement(
        "dbt unused import",
        "redshift",
        """with a as (select * from raw.accounts), unused as (select * from raw.audit)
        select id, name from a""",
        {"raw.accounts", "raw.audit"},
        {"id": {"raw.accounts.id"}, "name": {"raw.accounts.name"}},
    ),
    Statement(
        "dbt staging of a nested document",
        "databricks",
        """with source as (select * from bronze.stripe.charges),
        renamed as (
            select id as charge_id, payload:customer.email::string as email,
                cast(amount as decimal(18, 2)) / 100 as amount_usd, current_timestamp() as loaded_at
            from source
        ) select * from renamed""",
        {"bronze.stripe.charges"},
        {
            "charge_id": {"bronze.stripe.charges.id"},
            "email": {"bronze.stripe.charges.payload"},
            "amount_usd": {"bronze.stripe.charges.amount"},
            "loaded_at": NONE,
        },
    ),
    Statement(
        "dbt ephemeral models",
        "mysql",
        """with __dbt__cte__stg_users as (
            select `id` as `user_id`, `mail` from `crm`.`users`
        ), __dbt__cte__active as (
            select `user_id`, `mail` from __dbt__cte__stg_users where `mail` is not null
        ) select `user_id`, lower(`mail`) as `email_address` from __dbt__cte__active""",
        {"crm.users"},
        {"user_id": {"crm.users.id"}, "email_address": {"crm.users.mail"}},
    ),
    Statement(
        "dbt final replaces a column of a star",
        "bigquery",
        """with source as (select * from acme.raw.leads),
        cleaned as (select * replace (lower(trim(email)) as email) from source)
        select * from cleaned""",
        {"acme.raw.leads"},
        {"email": {"acme.raw.leads.email"}, "phone": {"acme.raw.leads.phone"}},
    ),
    Statement(
        "dbt pivot macro",
        "trino",
        """with payments as (select order_id, payment_method, amount from hive.raw.payments)
        select order_id,
            sum(case when payment_method = 'card' then amount else 0 end) as card_amount,
            sum(case when payment_method = 'bank' then amount else 0 end) as bank_amount,
            sum(amount) as total
        from payments group by order_id""",
        {"hive.raw.payments"},
        {
            "order_id": {"hive.raw.payments.order_id"},
            "card_amount": {"hive.raw.payments.payment_method", "hive.raw.payments.amount"},
            "bank_amount": {"hive.raw.payments.payment_method", "hive.raw.payments.amount"},
            "total": {"hive.raw.payments.amount"},
        },
    ),
    Statement(
        "dbt surrogate key",
        "snowflake",
        """with source as (select * from raw.crm.deals)
        select md5(cast(coalesce(cast(id as text), '_dbt_null_') || '-' ||
            coalesce(cast(stage as text), '_dbt_null_') as text)) as deal_key, source.*
        from source""",
        {"raw.crm.deals"},
        {
            "deal_key": {"raw.crm.deals.id", "raw.crm.deals.stage"},
            "amount": {"raw.crm.deals.amount"},
        },
    ),
    Statement(
        "dbt date spine",
        "postgres",
        """with days as (
            select cast(d as date) as day from generate_series('2024-01-01'::date,
                '2024-12-31'::date, interval '1 day') as g(d)
        ), signups as (select created_at::date as signup_day,
            count(*) as n from app.users group by 1)
        select days.day, coalesce(signups.n, 0) as signups from days
        left join signups on signups.signup_day = days.day""",
        {"app.users"},
        {"day": NONE, "signups": NONE},
    ),
    Statement(
        "dbt snapshot, current rows only",
        "snowflake",
        """select customer_id, email, dbt_valid_from as valid_from
        from analytics.snapshots.customers_snapshot where dbt_valid_to is null""",
        {"analytics.snapshots.customers_snapshot"},
        {
            "customer_id": {"analytics.snapshots.customers_snapshot.customer_id"},
            "valid_from": {"analytics.snapshots.customers_snapshot.dbt_valid_from"},
        },
    ),
    Statement(
        "dbt model with comments",
        "duckdb",
        """-- models/marts/contacts.sql
        /* owner: growth */
        with src as (select * from main.raw_contacts -- seeds
        ) select src.id /* key */, src.email from src; -- end""",
        {"main.raw_contacts"},
        {"id": {"main.raw_contacts.id"}, "email": {"main.raw_contacts.email"}},
    ),
    Statement(
        "dbt chain that renames twice",
        "clickhouse",
        """with source as (select id, mail from raw.people),
        renamed as (select id as person_id, mail as email_raw from source),
        final as (select person_id as contact_id, lower(email_raw) as email from renamed)
        select contact_id, email from final""",
        {"raw.people"},
        {"contact_id": {"raw.people.id"}, "email": {"raw.people.mail"}},
    ),
    Statement(
        "dbt star of a join of listed columns",
        "trino",
        """with a as (select id, email from iceberg.crm.people),
        b as (select person_id, total from iceberg.shop.totals)
        select * from a left join b on a.id = b.person_id""",
        {"iceberg.crm.people", "iceberg.shop.totals"},
        {
            "id": {"iceberg.crm.people.id"},
            "email": {"iceberg.crm.people.email"},
            "person_id": {"iceberg.shop.totals.person_id"},
            "total": {"iceberg.shop.totals.total"},
        },
    ),
    Statement(
        "dbt columns without a table in a join of listed columns",
        "redshift",
        """with a as (select id, email from crm.people),
        b as (select person_id, total from shop.totals)
        select id, email, total * 2 as double_total from a join b on id = person_id""",
        {"crm.people", "shop.totals"},
        {
            "id": {"crm.people.id"},
            "email": {"crm.people.email"},
            "double_total": {"shop.totals.total"},
        },
    ),
)

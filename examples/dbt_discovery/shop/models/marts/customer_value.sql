select
  c.id,
  lower(c.email) as email,
  c.first_name || ' ' || c.last_name as full_name,
  coalesce(sum(o.amount), 0) as lifetime_value
from {{ ref('customers') }} as c
left join {{ ref('orders') }} as o on o.customer_id = c.id
group by all

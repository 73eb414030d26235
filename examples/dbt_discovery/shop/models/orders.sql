select *
from (values (10, 1, 20.0), (11, 1, 5.5), (12, 2, 7.0)) as rows (id, customer_id, amount)

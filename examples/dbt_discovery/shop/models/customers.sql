select *
from (
  values
    (1, 'Ann@example.com', 'Ann', 'Lee'),
    (2, 'bob@example.com', 'Bob', 'Ray'),
    (3, 'not an address', 'Cid', 'Poe')
) as rows (id, email, first_name, last_name)

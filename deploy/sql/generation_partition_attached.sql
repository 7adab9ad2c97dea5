-- From here on it is a part of the timeline. `{schema}` is g and a number, `{partition}` a number.
alter table {schema}.timeline attach partition {schema}.timeline_{partition} for values in ({partition});
alter table {schema}.timeline_{partition} drop constraint own;

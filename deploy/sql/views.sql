-- Readers use these; they move to another generation in one transaction. `{schema}` is g and a number.
drop view if exists parcours.timeline, parcours.patient, parcours.case_path, parcours.claim, parcours.finding,
    parcours.checkpoint, parcours.parked, parcours.alias, parcours.inbox, parcours.merge_cycles, parcours.erased_fact, parcours.alert_act, parcours.contact;
create view parcours.timeline as select * from {schema}.timeline;
create view parcours.patient as select * from {schema}.patient;
create view parcours.case_path as select * from {schema}.case_path;
create view parcours.claim as select * from {schema}.claim;
create view parcours.finding as select * from {schema}.finding;
create view parcours.checkpoint as select * from {schema}.checkpoint;
create view parcours.parked as select * from {schema}.parked;
create view parcours.alias as select * from {schema}.alias;
create view parcours.inbox as select * from {schema}.inbox;
create view parcours.merge_cycles as select * from {schema}.merge_cycles;
create view parcours.erased_fact as select * from {schema}.erased_fact;
create view parcours.alert_act as select * from {schema}.alert_act;
create view parcours.contact as select * from {schema}.contact;

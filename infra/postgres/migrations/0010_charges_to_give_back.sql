-- Money of customers that we hold by mistake: a handful of rows at any time, which those who watch are told of.
CREATE INDEX attempts_to_give_back ON attempts (payment_id) WHERE late = 'give_back' AND compensated_by IS NULL;

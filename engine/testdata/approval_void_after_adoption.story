# A corrected playbook voids approvals.
ask sure
tx a
----
start
  run_started
  approval_asked sure
  -> ask a person sure (sync before)
approve sure
  approval_given sure
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
fail a
  a is failed, effect none: it broke
  run ends failed
  finished failed
adopt
  playbook_adopted
  finished failed
resume
  run_resumed
  approval_asked sure
  -> ask a person sure (sync before)
approve sure
  approval_given sure
  intended a attempt 2 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  run ends ok
  finished ok

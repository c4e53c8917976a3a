# A target that has lost the markers of finished steps stops the resume. It is not missed again once a person has spoken.
tx a
tx b
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
crash
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot a
  memory_checked
  -> settle b epoch 1
settle b not-done
  settled b: not done
  waiting: step a is in doubt
resolve a not-done
  refused: this cannot follow what has happened in the run: step a was done, and what came after it was built upon that, so it is not done again in this run; say done or skip, or run the playbook anew
  waiting: step a is in doubt
resolve a done
  resolved a
  intended b attempt 2 token r1/b class transactional
  -> execute b (sync before)
crash
resume
  run_resumed
  -> settle b epoch 2 (sync before)
settle b not-done
  settled b: not done
  intended b attempt 3 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  run ends ok
  finished ok

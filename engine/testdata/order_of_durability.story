# A result of an effect shares its sync with the next intent; a read waits for it; reads sync nothing.
tx a
tx b
read c
read d
tx e
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  -> execute c (sync before)
done c n=1
  c is ok {n: 1}
  -> execute d
done d
  d is ok
  intended e attempt 1 token r1/e class transactional
  -> execute e (sync before)
done e
  e is ok
  run ends ok
  finished ok

# A failure that is expected is no failure. One that is another, or a success where it is expected, is one; and what may have had an
# effect is no refusal.
read a fails=broke
tx b fails=broke
once c fails=broke
idem d fails=denied on_error=continue
tx e fails=broke on_error=continue
once f fails=broke on_error=continue
read g fails=broke on_error=continue
tell h with=steps.a.error
----
start
  run_started
  -> execute a (sync before)
fail a
  a is ok (fails as expected: it broke) {error: it broke}
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
fail b
  b is ok (fails as expected: it broke) {error: it broke}
  intended c attempt 1 token r1/c class unrepeatable
  -> execute c (sync before)
fail c
  c is ok (fails as expected: it broke) {error: it broke}
  intended d attempt 1 token r1/d class idempotent
  -> execute d (sync before)
fail d
  d is failed, effect none: it failed otherwise than expected (error contains "denied"): it broke
  intended e attempt 1 token r1/e class transactional
  -> execute e (sync before)
done e
  e is failed, effect stands: it succeeded, and was expected to fail (error contains "broke")
  intended f attempt 1 token r1/f class unrepeatable
  -> execute f (sync before)
fail f stands
  f is failed, effect stands: it broke
  -> execute g (sync before)
done g
  g is failed, effect none: it succeeded, and was expected to fail (error contains "broke")
  intended h attempt 1 token r1/h class advisory
  -> execute h with=it broke (sync before)
done h
  h is ok
  run ends degraded
  finished degraded
state
  a ok
  b ok
  c ok
  d failed, effect none: it failed otherwise than expected (error contains "denied"): it broke
  e failed, effect stands: it succeeded, and was expected to fail (error contains "broke")
  f failed, effect stands: it broke
  g failed, effect none: it succeeded, and was expected to fail (error contains "broke")
  h ok

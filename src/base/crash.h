/*
 * base/crash.h - places at which a test build kills itself: MFY_CRASH=K7:3 is SIGKILL at the third pass of K7
 *
 * Only with MAYFLY_CRASHPOINTS; otherwise nothing is left of a point. Each process counts its own passes. What must hold afterwards,
 * whatever was half done, is checked by tests/integration/kill_points.sh.
 *
 *   K1  the run's lock is held           K7  a step of a create was answered, not committed   K13 a delete is committed, not sent
 *   K2  the run row is written           K8  a credential was handed to the runner            K14 a delete was sent
 *   K3  a create is committed, not sent  K9  an agent's process is made, not told (spawner)   K15 a delete was answered, not committed
 *   K4  a create was sent                K10 an agent runs                                    K16 everything is over, the receipt is not written
 *   K5  it was answered, not committed   K11 an agent ended, not committed
 *   K6  the account is recorded          K12 outputs are half copied (helper process)
 *
 * MFY_FAIL_ALLOC=17 makes the 17th allocation of the program itself fail, 17:3 three in a row, 17:0 that one and all later ones;
 * `count` prints at the end how many there were. Libraries have allocators of their own.
 */
#ifndef MF_BASE_CRASH_H
#define MF_BASE_CRASH_H

#ifdef MAYFLY_CRASHPOINTS
void mf_crash_point(unsigned point);
void mf_crash_arm(void); /* once, at the start of main */
#define CRASH_POINT(point) mf_crash_point(point)
#define CRASH_ARM() mf_crash_arm()
#else
#define CRASH_POINT(point) ((void)0)
#define CRASH_ARM() ((void)0)
#endif

#endif

/** The notices on the page: each with a button that helps, where one does, and one that takes it away. */
import { useEffect, useRef } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import type { Notice } from "../notices.ts";
import { useStore } from "../use-store.ts";

export function NoticesView({ app }: { app: AppState }) {
  const notices = useStore(app.notices);
  return (
    <section class="notices" aria-label="Notices">
      {notices.map((notice) => (
        <NoticeView key={notice.id} notice={notice} dismiss={() => app.notices.dismiss(notice.id)} />
      ))}
    </section>
  );
}

function NoticeView({ notice, dismiss }: { notice: Notice; dismiss: () => void }) {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => root.current?.scrollIntoView({ block: "nearest" }), []);
  const { name, message, remedy } = notice;
  const help = () => {
    dismiss();
    remedy?.run();
  };
  return (
    <div class="notice" role="alert" ref={root}>
      <p>
        <strong>{name}</strong> {message}
      </p>
      {remedy && (
        <button type="button" onClick={help}>
          {remedy.label}
        </button>
      )}
      <button type="button" class="quiet" onClick={dismiss}>
        Dismiss
      </button>
    </div>
  );
}

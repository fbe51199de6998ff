import { Suspense } from 'react';
import { Redirect, Route, Switch, useLocation } from 'wouter';
import { SessionProvider, useSession } from './lib/session';
import { NotFound } from './pages/NotFound';
import { SignIn } from './pages/SignIn';
import { routes } from './routes';
import { UploadProvider } from './upload/context';
import { Frame } from './ui/Frame';
import { Failure, Spinner } from './ui/ui';

export function App() {
  return (
    <SessionProvider
      waiting={
        <div className="full-height">
          <Spinner label="Loading" />
        </div>
      }
      failed={(err, again) => (
        <div className="full-height">
          <Failure error={err} again={again} />
        </div>
      )}
    >
      <UploadProvider>
        <Pages />
      </UploadProvider>
    </SessionProvider>
  );
}

function Pages() {
  const { session } = useSession();
  const [path] = useLocation();
  if (!session) return <SignIn />;
  // After signing in, the page that was asked for is drawn where it was.
  if (path === '/sign-in' || path === '/') return <Redirect to="/gallery" replace />;
  return (
    <Frame>
      <Suspense
        fallback={
          <div className="full-height">
            <Spinner label="Loading" />
          </div>
        }
      >
        <Switch>
          {routes.map((r) => (
            <Route key={r.path} path={r.path} component={r.page} />
          ))}
          <Route component={NotFound} />
        </Switch>
      </Suspense>
    </Frame>
  );
}
